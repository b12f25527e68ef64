"""Every page that needs no argument, for a student and for an admin, and what all pages have in common."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from app.models import now
from app.rules.phases import Phase
from app.services import rounds
from tests.browser.visitor import grave
from tests.factories import (
    PASSWORD,
    make_attack,
    make_defence,
    make_match,
    make_players,
    make_reference_result,
    make_round,
)

SHOWN_BY_ANOTHER = {"/logout", "/docs", "/redoc"}
"""Pages that tests of their own open: a look at the first would log out, and axe needs long for the documents."""
TOKYO = "Asia/Tokyo"


@pytest.fixture
def played(app):
    """A round in which both teams defended and attacked, with more to come."""
    red, blue, _ = make_players()
    row = make_round("both")
    for team in (red, blue):
        make_reference_result(make_defence(team, row))
    make_attack(make_match(row, red, blue))
    make_attack(make_match(row, blue, red))
    rounds.schedule(None, row, Phase.FINISHED, now() + timedelta(days=2, hours=1))
    return row


def addresses(app):
    """The paths of all pages that can be opened without arguments."""
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and not rule.arguments]
    return sorted({rule.rule for rule in rules} - SHOWN_BY_ANOTHER)


class TestEveryPage:
    def test_answers_and_is_accessible(self, app, site, played, visit):
        seen = set()
        for name in ("alice", "ada"):
            visitor = visit(site)
            visitor.refusals = {401, 403, 404, 409}
            visitor.log_in(name, PASSWORD)
            for path in addresses(app):
                answer = visitor.context.request.get(site + path)
                assert answer.status < 500, path
                is_page = answer.ok and answer.headers["content-type"].startswith("text/html")
                if is_page and answer.url == site + path and path not in seen:
                    visitor.open(path)
                    visitor.problems += grave(visitor.page, f"{path} for {name}")
                    seen.add(path)
            visitor.is_content()
            assert {"/", "/defence/", "/attack/", "/leaderboard/", "/tokens/"} <= seen
            assert ("/admin/mails" in seen) == ("/set_phase/" in seen) == (name == "ada")


class TestATime:
    def test_it_stands_in_the_zone_of_the_reader(self, site, played, visit):
        visitor = visit(site, timezone_id=TOKYO)
        visitor.log_in("alice", PASSWORD)
        visitor.open("/leaderboard/")
        shown = visitor.page.locator("main time").first
        there = visitor.page.evaluate(
            "moment => new Intl.DateTimeFormat('en-GB', {hour: '2-digit', minute: '2-digit', timeZone: 'UTC'})"
            ".format(new Date(new Date(moment).getTime() + 9 * 3600000))",
            shown.get_attribute("datetime"),
        )
        expect(shown).to_have_text(re.compile(rf", {there} (GMT\+9|JST)$"))
        expect(shown).to_have_attribute("title", re.compile(TOKYO))

    def test_a_schedule_is_typed_in_the_zone_of_the_admin_and_kept_in_utc(self, app, site, visit):
        make_players()
        row = make_round()
        visitor = visit(site, timezone_id=TOKYO)
        visitor.log_in("ada", PASSWORD)
        visitor.open("/set_phase/")
        expect(visitor.page.get_by_text(f"Time zone: {TOKYO}")).to_be_visible()
        visitor.page.check("[name=phase][value=defence]")
        visitor.page.check("[name=when][value=later]")
        visitor.page.fill("input[type=datetime-local]", "2090-01-02T08:30")
        visitor.confirm("Change the phase")
        expect(visitor.page.get_by_role("table", name="Scheduled changes")).to_contain_text("2 Jan 2090, 08:30")
        visitor.context.close()
        assert rounds.phase(row).next_change.isoformat()[:16] == "2090-01-01T23:30"

    def test_a_countdown_says_that_the_round_ends(self, site, played, visit):
        visitor = visit(site)
        visitor.log_in("alice", PASSWORD)
        expect(visitor.page.locator(".round-bar")).to_contain_text(re.compile(r"The round ends in 2 d 0[01] h"))


class TestTheTheme:
    def test_it_follows_the_system_until_somebody_chooses_and_the_choice_is_remembered(self, site, played, visit):
        visitor = visit(site, color_scheme="dark")
        visitor.open("/")
        html, toggle = visitor.page.locator("html"), visitor.page.get_by_role("button", name="Dark mode")
        expect(html).to_have_attribute("data-bs-theme", "dark")
        expect(toggle).to_have_attribute("aria-pressed", "true")
        toggle.click()
        expect(html).to_have_attribute("data-bs-theme", "light")
        visitor.open("/login")
        expect(html).to_have_attribute("data-bs-theme", "light")
        expect(toggle).to_have_attribute("aria-pressed", "false")
