"""Who may open the admin pages, and that looking changes nothing."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.models import User
from config import TestingConfig
from tests.factories import log_in, make_user
from tests.web.admin.world import MARKUP, addresses, build, everything


@pytest.fixture
def ada(app: Flask) -> User:
    return build()


class TestAccess:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_every_page_asks_a_stranger_to_log_in(
        self, app: Flask, client: FlaskClient, ada: User, method: str
    ) -> None:
        before, found = everything(), addresses(app, method)
        assert len(found) > 15
        for address in found:
            answer = client.open(address, method=method, buffered=True)
            assert (answer.status_code, answer.location.split("?")[0]) == (302, "/login"), address
        assert everything() == before

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_every_page_refuses_a_student(self, app: Flask, client: FlaskClient, ada: User, method: str) -> None:
        log_in(client, make_user("eve"))
        app.sent.clear()
        before = everything()
        for address in addresses(app, method):
            answer = client.open(address, method=method, data={"frozen": "yes", "open": "no", "phase": "finished"})
            assert answer.status_code == 403, address
            assert "teaching staff" in answer.text
        assert everything() == before
        assert app.sent == []

    def test_a_deactivated_admin_is_asked_to_log_in(self, client: FlaskClient, session: object) -> None:
        client = log_in(client, make_user("ex", is_admin=True, is_active=False))
        assert client.get("/admin/").status_code == 302


class TestLooking:
    def test_no_page_changes_anything_by_being_looked_at(self, app: Flask, client: FlaskClient, ada: User) -> None:
        log_in(client, ada)
        app.sent.clear()
        for address in addresses(app, "GET"):
            for query in ("", "?round=2", "?phase=finished&when=now&status=failed&kind=defence&q=a&page=2"):
                before = everything()
                assert client.get(address + query, buffered=True).status_code == 200, address + query
                assert everything() == before, address + query
        assert app.sent == []

    def test_actions_do_not_listen_to_get(self, app: Flask, client: FlaskClient, ada: User) -> None:
        log_in(client, ada)
        before = everything()
        for address in set(addresses(app, "POST")) - set(addresses(app, "GET")):
            assert client.get(address).status_code in {404, 405}, address
        assert everything() == before

    def test_pages_hold_no_inline_script_or_style_and_escape_what_people_typed(
        self, app: Flask, client: FlaskClient, ada: User
    ) -> None:
        log_in(client, ada)
        for address in addresses(app, "GET"):
            answer = client.get(address, buffered=True)
            if answer.mimetype != "text/html" or address.endswith("/html"):
                continue
            assert not re.search(r"<style|\sstyle=|\son\w+=\"|<script(?! src=)", answer.text), address
            assert MARKUP not in answer.text, address

    def test_pages_work_on_an_empty_site(self, app: Flask, client: FlaskClient) -> None:
        log_in(client, make_user("ada", is_admin=True))
        pages = ["", "rounds", "rounds/new", "phase", "matches", "users", "teams", "uploads", "references", "mails"]
        for page in [*pages, "audit", "exports", "exports/audit.csv"]:
            assert client.get(f"/admin/{page}", buffered=True).status_code == 200, page

    def test_what_does_not_exist_is_not_found(self, client: FlaskClient, ada: User) -> None:
        log_in(client, ada)
        rows = [f"{noun}/99" for noun in ("rounds", "teams", "uploads", "references", "mails")]
        for address in [*rows, "phase?round=99", "matches?round=99", "users/nobody", "exports/x.csv"]:
            assert client.get(f"/admin/{address}").status_code == 404, address

    def test_strange_page_numbers_are_pages(self, client: FlaskClient, ada: User) -> None:
        log_in(client, ada)
        for page in ("0", "-1", "99999999999999999999", "x"):
            assert client.get(f"/admin/uploads?page={page}").status_code == 200, page


class TestForgery:
    @pytest.fixture
    def settings(self, settings: type[TestingConfig]) -> type[TestingConfig]:
        return type("Guarded", (settings,), {"WTF_CSRF_ENABLED": True})

    def test_an_action_without_its_token_does_nothing(self, app: Flask, client: FlaskClient, ada: User) -> None:
        log_in(client, ada)
        app.sent.clear()
        before = everything()
        for address in addresses(app, "POST"):
            answer = client.post(address, data={"phase": "finished", "when": "now", "frozen": "yes"})
            assert answer.status_code == 400, address
        assert everything() == before
        assert app.sent == []

    def test_every_form_carries_a_token(self, app: Flask, client: FlaskClient, ada: User) -> None:
        log_in(client, ada)
        seen = 0
        for address in addresses(app, "GET"):
            page = client.get(address, buffered=True).get_data(as_text=True)
            for form in re.findall(r'<form[^>]*method="post".*?</form>', page, re.DOTALL):
                assert re.search(r'name="(reference-|move-)?csrf_token"', form), address
                seen += 1
        assert seen > 30
