"""What a person does with their account and their team's seats, by programs."""

import re
from datetime import timedelta

import pytest

from app.extensions import db
from app.models import Mail, User, now
from app.services import accounts, site, teams, tokens
from app.services.tokens import Scope
from tests.api.test_access import is_problem
from tests.factories import PASSWORD, log_in, make_team, make_user

NEW = {"username": "erin", "email": "Erin@example.org", "password": "a long enough one", "sciper": 123456}
NEW_PASSWORD = "an even longer one"


def register(client, **values):
    return client.post("/api/accounts", json=NEW | values)


def logged_in(client, name, password):
    """The answer to a person who makes a token with this password."""
    return client.post("/api/tokens", json={"username": name, "password": password})


def mailed_token(kind):
    """The last part of the newest link of a kind."""
    text = db.session.scalars(db.select(Mail.text).order_by(Mail.id.desc())).first()
    return re.search(rf"/{kind}/(\S+)", text)[1]


def mails():
    return db.session.scalar(db.select(db.func.count(Mail.id)))


@pytest.fixture
def alice(players, bearer):
    return bearer(accounts.named("alice"))


@pytest.fixture
def ada(players, bearer):
    return bearer(players[2])


class TestRegistering:
    def test_it_keeps_everything_and_the_password_makes_a_token(self, client, app):
        made = register(client)
        assert made.status_code == 201
        assert made.json == {
            "username": "erin",
            "email": "erin@example.org",
            "sciper": 123456,
            "is_confirmed": True,
            "team": None,
        }
        assert logged_in(client, "erin", NEW["password"]).status_code == 201

    def test_a_team_is_founded_or_joined_in_the_same_step(self, client, app):
        assert register(client, new_team="Otters").json["team"]["name"] == "Otters"
        other = register(client, username="frank", email="f@example.org", sciper=123457, team="otters")
        assert other.json["team"]["name"] == "Otters"

    def test_an_invitation_opens_a_closed_team_and_nothing_else_does(self, client, app):
        host = make_user("host")
        make_team("Red", host, is_open=False)
        assert is_problem(register(client, team="Red"), 403)
        assert is_problem(register(client, invitation="forged"), 400)
        assert db.session.query(User).filter_by(username="erin").count() == 0
        assert register(client, invitation=teams.invitation(host)).json["team"]["name"] == "Red"

    def test_only_one_way_into_a_team_is_chosen(self, client, app):
        refused = register(client, team="Red", new_team="Otters")
        assert is_problem(refused, 422)
        assert refused.json["errors"].keys() == {"team", "new_team"}

    def test_every_field_that_is_wrong_is_named(self, client, app):
        refused = register(client, email="nowhere", sciper=1, is_admin=True)
        assert is_problem(refused, 422)
        assert refused.json["errors"].keys() == {"email", "sciper", "is_admin"}

    def test_the_same_person_again_is_a_conflict_and_changes_nothing(self, client, app):
        register(client)
        again = register(client, password="another long one")
        assert is_problem(again, 409)
        assert "already registered" in again.json["detail"]
        assert logged_in(client, "erin", NEW["password"]).status_code == 201

    def test_a_short_password_and_a_locked_site_refuse(self, client, players):
        assert is_problem(register(client, password="short"), 400)
        site.set_registration_open(players[2], False)
        assert is_problem(register(client), 403)

    def test_locked_teams_refuse_seats_and_not_people(self, client, players):
        site.set_team_lock(players[2], now() - timedelta(hours=1))
        assert is_problem(register(client, new_team="Otters"), 403)
        assert register(client).status_code == 201


class TestConfirming:
    @pytest.fixture
    def settings(self, settings):
        settings.VERIFY_EMAIL = True
        return settings

    def test_the_mailed_link_opens_the_account_and_may_be_used_twice(self, client, app):
        assert register(client).json["is_confirmed"] is False
        assert is_problem(logged_in(client, "erin", NEW["password"]), 403)
        token = {"token": mailed_token("verify")}
        assert [client.post("/api/accounts/confirm", json=token).status_code for _ in range(2)] == [204, 204]
        assert logged_in(client, "erin", NEW["password"]).status_code == 201

    def test_another_link_does_not(self, client, app):
        register(client)
        assert is_problem(client.post("/api/accounts/confirm", json={"token": "forged"}), 400)
        assert is_problem(logged_in(client, "erin", NEW["password"]), 403)

    def test_a_new_link_is_sent_and_strangers_are_answered_alike(self, client, app):
        register(client)
        path = "/api/accounts/confirm/link"
        answers = [client.post(path, json={"email": name}) for name in (NEW["email"], "nobody@example.org")]
        assert {(answer.status_code, answer.data) for answer in answers} == {(202, answers[0].data)}
        assert mails() == 2


class TestResetting:
    def ask(self, client, email="alice@example.org"):
        return client.post("/api/accounts/reset/link", json={"email": email})

    def reset(self, client, token):
        return client.post("/api/accounts/reset", json={"token": token, "password": NEW_PASSWORD})

    def test_the_mailed_link_sets_a_password_once_and_ends_every_token(self, client, players, alice):
        assert self.ask(client).status_code == 202
        token = mailed_token("reset")
        assert self.reset(client, token).status_code == 204
        assert is_problem(client.get("/api/me", headers=alice), 401)
        assert logged_in(client, "alice", NEW_PASSWORD).status_code == 201
        assert is_problem(self.reset(client, token), 400)

    def test_strangers_are_answered_alike_and_get_no_mail(self, client, players):
        known, unknown = self.ask(client), self.ask(client, "nobody@example.org")
        assert (known.status_code, known.data) == (unknown.status_code, unknown.data)
        assert mails() == 1

    def test_a_link_for_something_else_resets_nothing(self, client, players):
        assert is_problem(self.reset(client, teams.invitation(accounts.named("alice"))), 400)
        assert logged_in(client, "alice", PASSWORD).status_code == 201

    def test_it_is_refused_where_the_site_leaves_it_to_the_staff(self, app, client, players):
        app.config["PASSWORD_RESET"] = False
        assert is_problem(self.ask(client), 403)


class TestOwnAccount:
    def change(self, client, headers, current=PASSWORD, password=NEW_PASSWORD):
        body = {"current": current, "password": password}
        return client.put("/api/me/password", json=body, headers=headers)

    def test_a_new_password_needs_the_current_one_and_ends_every_token(self, client, players, alice, bearer):
        other = bearer(accounts.named("alice"), Scope.READ)
        assert is_problem(self.change(client, alice, current="wrong"), 400)
        assert is_problem(self.change(client, alice, password="short"), 400)
        assert client.get("/api/me", headers=other).status_code == 200
        assert self.change(client, alice).status_code == 204
        assert [client.get("/api/me", headers=one).status_code for one in (alice, other)] == [401, 401]
        assert logged_in(client, "alice", NEW_PASSWORD).status_code == 201
        assert is_problem(logged_in(client, "alice", PASSWORD), 400)

    def test_a_token_that_only_reads_changes_nothing(self, client, players, bearer):
        assert is_problem(self.change(client, bearer(accounts.named("alice"), Scope.READ)), 403)

    def test_a_session_ends_too(self, client, players):
        log_in(client, accounts.named("alice"))
        assert self.change(client, {}).status_code == 204
        assert is_problem(client.get("/api/me"), 401)

    def test_me_tells_the_teams_so_far(self, client, players, alice):
        client.post(f"/api/teams/{players[0].id}/leave", headers=alice)
        client.post("/api/teams", json={"name": "Otters"}, headers=alice)
        told = client.get("/api/me", headers=alice).json["memberships"]
        assert [(one["team"]["name"], one["left_at"] is None) for one in told] == [("Red", False), ("Otters", True)]

    def test_of_others_name_and_team_are_seen_and_no_more(self, client, players, alice):
        told = client.get("/api/users/Mallory", headers=alice).json
        assert told == {"username": "mallory", "is_admin": False, "team": None}
        assert client.get("/api/users/bob", headers=alice).json["team"]["name"] == "Red"
        assert is_problem(client.get("/api/users/nobody", headers=alice), 404)


class TestSeats:
    def test_the_captains_link_leads_to_the_team(self, client, players, alice):
        team = client.get(f"/api/teams/{players[0].id}", headers=alice).json
        assert team["invitation_link"].endswith(f"/team/join/{team['invitation']}")
        page = client.get(team["invitation_link"].removeprefix("http://localhost"))
        assert (page.status_code, "Red" in page.text) == (200, True)

    def test_the_link_is_for_the_captain_only(self, client, players, bearer):
        bob = bearer(accounts.named("bob"))
        assert "invitation_link" not in client.get(f"/api/teams/{players[0].id}", headers=bob).json

    def test_an_admin_takes_a_member_out_and_a_second_time_changes_nothing(self, client, players, ada):
        path = f"/api/admin/teams/{players[0].id}/members/bob"
        assert [client.delete(path, headers=ada).status_code for _ in range(2)] == [204, 204]
        assert [user.username for user in teams.members(players[0])] == ["alice"]

    def test_a_member_of_another_team_stays_there(self, client, players, ada):
        path = f"/api/admin/teams/{players[1].id}/members/bob"
        assert client.delete(path, headers=ada).status_code == 204
        assert teams.of(accounts.named("bob")).name == "Red"

    def test_a_captain_takes_nobody_out(self, client, players, alice):
        assert is_problem(client.delete(f"/api/admin/teams/{players[0].id}/members/bob", headers=alice), 403)


class TestLimits:
    """A page and its counterpart share one bucket, in whichever order they are asked."""

    @pytest.fixture
    def settings(self, settings):
        settings.RATELIMIT_ENABLED = True
        settings.LOGIN_RATE_LIMIT = settings.REGISTER_RATE_LIMIT = "3 per hour"
        return settings

    @pytest.mark.parametrize(
        ("page", "address"),
        [
            ("/login", "/api/tokens"),
            ("/register", "/api/accounts"),
            ("/verify", "/api/accounts/confirm/link"),
            ("/forgot", "/api/accounts/reset/link"),
        ],
    )
    def test_the_page_and_the_api_let_through_no_more_than_one_of_them(self, client, app, page, address):
        assert [client.post(where, json={}).status_code for where in (address, page)] == [422, 400]
        assert client.post(address, json={}).status_code == 422
        assert is_problem(client.post(address, json={}), 429)
        assert client.post(page).status_code == 429

    def test_a_reset_link_is_guessed_no_more_often(self, client, players):
        body = {"token": "guess", "password": NEW_PASSWORD}
        assert [client.post("/reset/guess").status_code for _ in range(2)] == [400, 400]
        answers = [client.post("/api/accounts/reset", json=body).status_code for _ in range(2)]
        assert answers == [400, 429]

    def test_another_token_gives_no_more_tries_for_the_password(self, client, players, bearer):
        user = accounts.named("alice")
        body = {"current": "guess", "password": NEW_PASSWORD}
        answers = [client.put("/api/me/password", json=body, headers=bearer(user)).status_code for _ in range(4)]
        assert answers == [400, 400, 400, 429]
        assert len(tokens.of(user)) == 4
        log_in(client, user)
        assert client.post("/password").status_code == 429

    def test_the_limit_of_the_whole_api_holds_as_well(self, app, client):
        app.config["API_RATE_LIMIT"] = "2 per hour"
        paths = ("/api/accounts", "/api/accounts/reset", "/api/tokens")
        assert [client.post(path, json={}).status_code for path in paths] == [422, 422, 429]
