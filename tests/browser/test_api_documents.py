"""Swagger UI, ReDoc and the page of tokens: local files only, under the content policy, quiet."""

import re

import pytest
from playwright.sync_api import expect

from app.api.resources import RESOURCES
from app.services import tokens
from tests.factories import PASSWORD, make_players, make_round

# The readers are large scripts, and two cores may be busy with other tests.
expect.set_options(timeout=30_000)


@pytest.fixture
def visitor(app, site, visit):
    make_players()
    make_round("defence")
    found = visit(site)
    found.log_in("alice", PASSWORD)
    return found


class TestSwaggerUI:
    def test_it_shows_every_noun_and_tries_an_operation_with_the_session(self, visitor):
        visitor.open("/docs")
        page = visitor.page
        expect(page.locator(".opblock-tag")).to_have_count(len({resource.tag for resource in RESOURCES}))
        page.locator(".opblock-tag[data-tag='me']").click()
        operation = page.locator(".opblock", has=page.locator("[data-path='/api/me']"))
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Execute").click()
        expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
        expect(operation.locator(".live-responses-table")).to_contain_text("alice@example.org")
        page.screenshot(path=visitor.folder / "swagger.png")
        visitor.is_content()

    def test_a_change_carries_the_csrf_token(self, visitor):
        visitor.open("/docs")
        page = visitor.page
        page.locator(".opblock-tag[data-tag='teams']").click()
        operation = page.locator(".opblock-post", has=page.locator("[data-path='/api/teams']"))
        operation.locator(".opblock-summary-control").click()
        with visitor.refused(409), page.expect_request(lambda request: request.method == "POST") as sent:
            operation.get_by_role("button", name="Execute").click()
            # Alice is in a team already.
            expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("409")
        assert len(sent.value.headers["x-csrftoken"]) > 20


class TestReDoc:
    def test_it_shows_and_searches_the_document(self, visitor):
        visitor.open("/redoc")
        page = visitor.page
        expect(page.get_by_role("heading", name=re.compile("Secret Race Strolling")).first).to_be_visible()
        page.get_by_placeholder("Search...").fill("challenge")
        expect(page.locator("[data-role='search:results']")).to_contain_text("opponents")
        page.screenshot(path=visitor.folder / "redoc.png")
        # It searches in a worker that it writes itself, which its looser policy allows.
        visitor.problems[:] = [one for one in visitor.problems if not one.startswith(f"blob:{visitor.site}")]
        visitor.is_content()

    def test_only_its_page_has_the_looser_policy(self, visitor):
        policies = {
            path: visitor.context.request.get(visitor.site + path).headers["content-security-policy"]
            for path in ("/redoc", "/docs", "/")
        }
        assert "'unsafe-inline'" in policies["/redoc"]
        assert "script-src" not in policies["/redoc"]
        assert not any("unsafe" in policies[path] for path in ("/docs", "/"))


class TestTokens:
    def test_one_is_made_copied_and_revoked(self, visitor):
        visitor.open("/user/alice")
        visitor.page.get_by_role("link", name="API tokens").click()
        visitor.fill(name="laptop")
        visitor.press("Make the token")
        secret = visitor.page.locator("#secret").inner_text()
        assert tokens.authenticate(secret) is not None
        visitor.look("tokens", in_the_dark=True)
        visitor.page.locator("main").get_by_role("button", name="Revoke laptop").click()
        visitor.page.locator("dialog").get_by_role("button", name="Revoke").click()
        expect(visitor.page.locator("main")).to_contain_text("revoked")
        assert tokens.authenticate(secret) is None
