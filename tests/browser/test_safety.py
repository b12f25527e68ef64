"""What a browser is told to refuse, and that nothing anybody writes becomes markup."""

import io
import zipfile

import pytest
from playwright.sync_api import expect

from app.services import accounts, teams
from tests.factories import PASSWORD, log_in, make_players, make_round, make_team, make_upload, make_user

ODD = "It's 4 A.+-_z"
MARKUP = "<img src=x onerror=\"window.broken='file'\"><script>window.broken='file'</script>.zip"


@pytest.fixture
def played(app):
    """A round in the defence phase with a team of an odd name, which handed in a file of a hostile name."""
    make_players()
    row = make_round("defence")
    odd = make_team(ODD, make_user("mallory"))
    reasons = [{"rule": MARKUP, "where": f"line 2: {MARKUP}", "fix": "Mend it.", "count": 1}]
    make_upload(odd, row, status="rejected", filename=MARKUP, reasons=reasons, user_id=accounts.named("mallory").id)
    return odd


class TestEveryAnswer:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/", 200),
            ("GET", "/static/srs.css", 200),
            ("GET", "/static/missing.css", 404),
            ("GET", "/healthz", 200),
            ("GET", "/nowhere", 404),
            ("GET", "/admin/", 403),
            ("PUT", "/login", 405),
            ("POST", "/team/nobody/join", 404),
            ("GET", "/api/nowhere", 404),
        ],
    )
    def test_it_forbids_inline_scripts_and_strangers(self, client, played, method, path, status):
        log_in(client, accounts.named("mallory"))
        with client.open(path, method=method) as answer:
            assert answer.status_code == status
            policy = dict(
                part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";")
            )
            assert policy["default-src"] == "'self'"
            assert "unsafe" not in policy.get("script-src", "")
            assert policy["frame-ancestors"] == "'none'"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


class TestABrowser:
    def test_it_runs_no_script_that_stands_in_a_page(self, site, played, visit):
        visitor = visit(site)
        visitor.open("/login")
        visitor.page.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.broken = 'inline'";
              document.body.append(script);
              const button = document.createElement("button");
              button.setAttribute("onclick", "window.broken = 'handler'");
              document.body.append(button);
              button.click();
            }"""
        )
        assert visitor.page.evaluate("window.broken") is None
        said, visitor.problems = visitor.problems, []
        assert len(said) == 2
        assert all("Content Security Policy" in one for one in said), said

    def test_it_finds_no_inline_script_style_or_handler_in_our_pages(self, site, played, visit):
        visitor = visit(site)
        visitor.log_in("mallory", PASSWORD)
        for path in ("/", "/defence/", f"/team/{ODD}", "/upload/1", "/leaderboard/", "/rules/fingerprinting"):
            visitor.open(path)
            inline = visitor.page.evaluate(
                """() => [...document.querySelectorAll("*")].filter((one) => one.hasAttribute("style")
                  || (one.tagName === "SCRIPT" && !one.src) || one.tagName === "STYLE"
                  || one.getAttributeNames().some((name) => name.startsWith("on"))).map((one) => one.outerHTML)"""
            )
            assert inline == [], path


class TestWhatPeopleWrite:
    def test_a_file_name_and_a_reason_with_markup_are_text(self, site, played, visit):
        visitor = visit(site)
        for name in ("mallory", "ada"):
            visitor.context.clear_cookies()
            visitor.log_in(name, PASSWORD)
            for path in ("/upload/1", "/defence/", f"/team/{ODD}", "/admin/uploads/1"):
                if path.startswith("/admin") == (name == "ada"):
                    visitor.open(path)
                    expect(visitor.page.locator("main")).to_contain_text(MARKUP)
                    assert visitor.page.evaluate("window.broken") is None
                    assert visitor.page.locator("main :is(img, script)").count() == 0

    def test_a_team_of_an_odd_name_is_reached_by_its_links(self, site, played, visit):
        visitor = visit(site)
        visitor.log_in("mallory", PASSWORD)
        visitor.page.get_by_role("link", name="Team page").click()
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text(ODD)
        visitor.confirm("Leave the team")
        expect(visitor.page.locator(".flashes")).to_contain_text(f"You have left team {ODD}.")

    def test_a_new_file_of_a_hostile_name_is_taken_and_shown_as_text(self, app, site, played, visit):
        visitor = visit(site)
        visitor.log_in("alice", PASSWORD)
        visitor.open("/defence/")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("mine.csv", "cell_id\n")
        file = {"name": MARKUP.replace("/", ""), "mimeType": "application/zip", "buffer": content.getvalue()}
        visitor.page.set_input_files("[name=file]", file)
        visitor.press("Upload the defence")
        expect(visitor.page.locator("main .facts")).to_contain_text("<img src=x onerror=")
        assert visitor.page.evaluate("window.broken") is None
        assert teams.of(accounts.named("alice")).name == "Red"
