import re

import pytest

from app.services import tokens
from app.services.tokens import Scope
from tests.factories import log_in, make_admin, make_user


@pytest.fixture
def alice(app):
    return make_user("alice")


@pytest.fixture
def browser(client, alice):
    return log_in(client, alice)


class TestTheTokensPage:
    def test_it_asks_strangers_to_log_in(self, client, app):
        assert "/login" in client.get("/tokens/").headers["Location"]

    def test_the_secret_is_shown_once(self, browser, alice):
        form = {"name": "laptop", "read": "y", "upload": "y", "days": "30"}
        page = browser.post("/tokens/", data=form)
        secret = re.search(r"srs_[\w-]{43}", page.text)[0]
        assert page.headers["Cache-Control"] == "no-store"
        assert tokens.authenticate(secret).scopes == ["read", "upload"]
        again = browser.get("/tokens/")
        assert secret not in again.text
        assert secret[:12] in again.text

    def test_what_is_refused_is_said_on_the_page(self, browser):
        page = browser.post("/tokens/", data={"name": "laptop", "days": "30"})
        assert page.status_code == 400
        assert "Choose at least one scope." in page.text
        assert browser.post("/tokens/", data={"read": "y", "days": "30"}).status_code == 400
        assert browser.post("/tokens/", data={"name": "a", "read": "y", "days": "3000"}).status_code == 400

    def test_only_admins_are_offered_the_scope_admin(self, client, browser, alice):
        assert 'name="admin"' not in browser.get("/tokens/").text
        browser.post("/tokens/", data={"name": "a", "read": "y", "admin": "y", "days": "30"})
        assert tokens.of(alice)[0].scopes == ["read"]
        assert 'name="admin"' in log_in(client, make_admin()).get("/tokens/").text

    def test_a_token_is_revoked_by_its_owner_only(self, client, browser, alice):
        token, secret = tokens.create(alice, "laptop", [Scope.READ], 7)
        log_in(client, make_user("bob"))
        assert client.post(f"/tokens/{token.id}/revoke").status_code == 404
        log_in(client, alice)
        assert client.post(f"/tokens/{token.id}/revoke").status_code == 303
        assert tokens.authenticate(secret) is None
        assert "revoked" in client.get("/tokens/").text

    def test_the_profile_links_to_it(self, browser):
        assert 'href="/tokens/"' in browser.get("/user/alice").text
