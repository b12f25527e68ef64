"""Who may do what, for every operation that the document lists."""

import io
import re

import pytest

from app.api import document, resources
from app.api.blueprint import Access
from app.services.tokens import Scope
from tests.factories import PASSWORD, log_in, make_round


def operations():
    """Every (method, address, access) of the API, with 1 or a word in the place of what is variable."""
    found = []
    for resource in resources.RESOURCES:
        for endpoint, methods in resource._docs.items():
            found += [(resource, endpoint, method.upper()) for method in methods if method != "parameters"]
    return found


OPERATIONS = operations()


def address(app, resource, endpoint):
    rule = next(app.url_map.iter_rules(f"api.{resource.name}.{endpoint}"))
    numbered = re.sub(r"<id:\w+>", "1", rule.rule)
    return re.sub(r"<[^>]+>", "word", numbered)


def chosen(*access):
    return [one for one in OPERATIONS if one[0].access in access]


@pytest.fixture
def ask(app, client):
    def ask(resource, endpoint, method, headers=None):
        return client.open(address(app, resource, endpoint), method=method, headers=headers)

    return ask


def is_problem(response, status):
    body = response.json
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} <= set(body)
    assert body["status"] == status
    assert body["detail"]
    return True


class TestEveryOperation:
    """One test asks all of them, because an application for each would take a minute."""

    def test_a_stranger_is_asked_for_a_token(self, ask):
        for resource, endpoint, method in chosen(Access.PERSON, Access.ADMIN):
            response = ask(resource, endpoint, method)
            assert is_problem(response, 401), endpoint
            assert response.headers["WWW-Authenticate"].startswith("Bearer")

    def test_a_student_may_not_do_what_admins_do(self, ask, players, bearer):
        token = bearer(players[3])
        for resource, endpoint, method in chosen(Access.ADMIN):
            assert is_problem(ask(resource, endpoint, method, token), 403), endpoint

    def test_an_admin_needs_the_scope_admin(self, ask, players, bearer):
        token = bearer(players[2], Scope.READ, Scope.UPLOAD)
        for resource, endpoint, method in chosen(Access.ADMIN):
            response = ask(resource, endpoint, method, token)
            assert is_problem(response, 403), endpoint
            assert "scope admin" in response.json["detail"]

    def test_a_token_needs_the_scope_of_the_method(self, ask, players, bearer):
        wrong = {True: bearer(players[3], Scope.UPLOAD), False: bearer(players[3], Scope.READ)}
        for resource, endpoint, method in chosen(Access.PERSON):
            response = ask(resource, endpoint, method, wrong[method == "GET"])
            assert is_problem(response, 403), endpoint
            assert "scope" in response.json["detail"]

    def test_everything_but_tracks_rounds_registering_and_logging_in_needs_somebody(self):
        public = {resource.name for resource in resources.RESOURCES if resource.access is Access.PUBLIC}
        assert public == {"tracks", "rounds", "accounts", "login"}

    def test_every_operation_is_in_the_document_with_its_rights(self, app):
        paths = document.describe()["paths"]
        listed = {(path, method) for path, item in paths.items() for method in item if method != "parameters"}
        assert len(listed) == len(OPERATIONS)
        assert all("security" in paths[path][method] for path, method in listed)


class TestAuthentication:
    def test_a_bad_token_is_refused_even_where_nobody_is_asked_for_one(self, client, app):
        assert is_problem(client.get("/api/rounds", headers={"Authorization": "Bearer srs_wrong"}), 401)

    def test_another_scheme_is_refused(self, client, app):
        assert is_problem(client.get("/api/rounds", headers={"Authorization": "Basic YTpi"}), 401)

    def test_a_session_does_not_help_a_bad_token(self, client, players):
        log_in(client, players[2])
        assert is_problem(client.get("/api/me", headers={"Authorization": "Bearer srs_wrong"}), 401)

    def test_a_session_opens_what_its_person_may_see(self, client, players):
        log_in(client, players[2])
        assert client.get("/api/me").json["username"] == "ada"
        assert client.get("/api/me").json["token"] is None
        assert client.get("/api/admin/users").status_code == 200


class TestForgery:
    @pytest.fixture
    def settings(self, settings):
        settings.WTF_CSRF_ENABLED = True
        return settings

    def test_a_session_cannot_change_anything_without_its_csrf_token(self, client, players):
        log_in(client, players[3])
        assert is_problem(client.post("/api/teams", json={"name": "Green"}), 400)

    def test_a_session_with_its_csrf_token_can(self, client, players):
        log_in(client, players[3])
        token = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/docs").text)[1]
        response = client.post("/api/teams", json={"name": "Green"}, headers={"X-CSRFToken": token})
        assert response.status_code == 201

    def test_a_bearer_token_needs_none(self, client, players, bearer):
        response = client.post("/api/teams", json={"name": "Green"}, headers=bearer(players[3]))
        assert response.status_code == 201

    def test_making_a_token_with_a_password_needs_none(self, client, players):
        response = client.post("/api/tokens", json={"username": "alice", "password": PASSWORD})
        assert response.status_code == 201

    def test_pages_still_need_theirs(self, client, players):
        log_in(client, players[3])
        assert client.post("/team/new", data={"name": "Green"}).status_code == 400


class TestLimits:
    @pytest.fixture
    def settings(self, settings):
        settings.RATELIMIT_ENABLED = True
        settings.API_RATE_LIMIT = "3 per hour"
        return settings

    def test_each_token_has_its_own_limit_over_all_resources(self, client, players, bearer):
        first, second = bearer(players[2]), bearer(players[2])
        answers = [client.get(path, headers=first) for path in ("/api/me", "/api/teams", "/api/rounds", "/api/me")]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert is_problem(answers[-1], 429)
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert client.get("/api/me", headers=second).status_code == 200

    def test_bad_tokens_are_counted_by_address(self, client, players):
        answers = [client.get("/api/me", headers={"Authorization": f"Bearer {number}"}) for number in range(5)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]

    def test_pages_are_not_limited_by_it(self, client, players):
        assert {client.get("/login").status_code for _ in range(6)} == {200}


class TestProblems:
    def test_unknown_addresses_and_methods_are_problems_too(self, client, app):
        assert is_problem(client.get("/api/nothing"), 404)
        assert is_problem(client.get("/api"), 404)
        response = client.delete("/api/rounds")
        assert is_problem(response, 405)
        assert "GET" in response.headers["Allow"]

    def test_pages_keep_their_own_errors(self, client, app):
        assert client.get("/nothing").mimetype == "text/html"
        assert client.get("/apiary").mimetype == "text/html"

    def test_a_number_that_no_database_holds_is_an_unknown_address(self, client, players, bearer):
        assert is_problem(client.get(f"/api/teams/{10**30}", headers=bearer(players[2])), 404)

    def test_every_field_that_is_wrong_is_named(self, client, players, bearer):
        body = {"track": "fingerprinting", "title": "x" * 121, "colour": 1, "seed": -1}
        response = client.post("/api/admin/rounds", json=body, headers=bearer(players[2]))
        assert is_problem(response, 422)
        assert set(response.json["errors"]) == {"title", "colour", "seed"}

    def test_settings_are_checked_with_their_bounds_all_at_once(self, client, players, bearer):
        settings = {"NB_CLASSES": 10**400, "MEAN_NB_REP_PER_CLASS": "many", "NB_WHEELS": 4}
        body = {"track": "fingerprinting", "settings": settings, "rules": {"scoring": "by hand"}}
        response = client.post("/api/admin/rounds", json=body, headers=bearer(players[2]))
        assert is_problem(response, 422)
        names = {"settings.NB_CLASSES", "settings.MEAN_NB_REP_PER_CLASS", "settings.NB_WHEELS", "rules.scoring"}
        assert set(response.json["errors"]) == names

    def test_a_body_that_is_no_json_is_told_so(self, client, players, bearer):
        headers = bearer(players[3])
        assert is_problem(client.post("/api/teams", data="name=Green", headers=headers), 415)
        assert is_problem(client.post("/api/teams", data="{", content_type="application/json", headers=headers), 400)
        assert is_problem(client.post("/api/teams", json=[1], headers=headers), 422)
        assert is_problem(client.post("/api/teams", json={"name": "\ud800"}, headers=headers), 422)

    def test_what_breaks_is_our_fault_and_says_no_more(self, client, players, bearer, monkeypatch):
        monkeypatch.setattr("app.services.teams.of", lambda user: 1 / 0)
        response = client.get("/api/me", headers=bearer(players[2]))
        assert is_problem(response, 500)
        assert "division" not in response.text

    def test_a_body_that_is_too_large_is_refused(self, app, client, players, bearer):
        app.config["MAX_CONTENT_LENGTH"] = 1000
        make_round("defence")
        form = {"file": (io.BytesIO(b"x" * 2000), "x.zip")}
        assert is_problem(client.post("/api/defences", data=form, headers=bearer(players[3])), 413)
