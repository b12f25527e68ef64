"""Tokens, tracks, rounds, teams, matches, the board, and what admins do."""

from datetime import timedelta

import pytest

from app.extensions import db
from app.models import Match, Round, now
from app.services import accounts, mails, tokens
from app.services.tokens import Scope
from tests.api.conftest import sent_file
from tests.api.test_access import is_problem
from tests.factories import PASSWORD, SMALL, make_attack, make_defence, make_match, make_round, make_team, make_user


@pytest.fixture
def alice(players, bearer):
    return bearer(accounts.named("alice"))


@pytest.fixture
def ada(players, bearer):
    return bearer(players[2])


@pytest.fixture
def mallory(players, bearer):
    return bearer(players[3])


class TestTokens:
    def test_a_password_makes_a_token_with_name_scopes_and_end(self, client, players):
        asked = {"username": "alice@example.org", "password": PASSWORD, "name": "pc", "scopes": ["read"], "days": 2}
        response = client.post("/api/tokens", json=asked)
        assert response.status_code == 201
        assert (response.json["name"], response.json["scopes"]) == ("pc", ["read"])
        me = client.get("/api/me", headers={"Authorization": f"Bearer {response.json['secret']}"}).json
        assert (me["username"], me["team"]["name"], me["token"]["name"]) == ("alice", "Red", "pc")
        assert "secret" not in me["token"]

    def test_a_wrong_password_makes_none(self, client, players):
        assert is_problem(client.post("/api/tokens", json={"username": "alice", "password": "wrong"}), 400)

    def test_a_student_makes_none_for_admins(self, client, players):
        asked = {"username": "alice", "password": PASSWORD, "scopes": ["admin"]}
        assert is_problem(client.post("/api/tokens", json=asked), 403)

    def test_expired_and_revoked_tokens_open_nothing(self, client, players):
        user = accounts.named("alice")
        token, secret = tokens.create(user, "a", [Scope.READ], 1)
        headers = {"Authorization": f"Bearer {secret}"}
        assert client.get("/api/me", headers=headers).status_code == 200
        token.expires_at = now() - timedelta(seconds=1)
        assert is_problem(client.get("/api/me", headers=headers), 401)
        token.expires_at = now() + timedelta(days=1)
        tokens.revoke(user, token)
        assert is_problem(client.get("/api/me", headers=headers), 401)

    def test_a_token_ends_itself_and_weaker_ones_only(self, client, players, bearer):
        user = accounts.named("alice")
        weak, strong = bearer(user, Scope.UPLOAD), bearer(user, Scope.READ, Scope.UPLOAD)
        by_scopes = {len(token.scopes): token.id for token in tokens.of(user)}
        assert is_problem(client.delete(f"/api/tokens/{by_scopes[2]}", headers=weak), 403)
        assert client.delete(f"/api/tokens/{by_scopes[1]}", headers=strong).status_code == 204
        assert client.delete(f"/api/tokens/{by_scopes[2]}", headers=strong).status_code == 204
        assert is_problem(client.get("/api/me", headers=strong), 401)

    def test_one_sees_and_ends_only_ones_own(self, client, players, alice, ada):
        assert [token["name"] for token in client.get("/api/tokens", headers=alice).json] == ["test"]
        number = tokens.of(accounts.named("ada"))[0].id
        assert is_problem(client.delete(f"/api/tokens/{number}", headers=alice), 404)


class TestTracks:
    def test_a_track_says_what_a_form_has_to_know(self, client, app, monkeypatch):
        monkeypatch.setattr("app.services.references.cards", lambda slug: {})
        track = client.get("/api/tracks/fingerprinting").json
        setting = next(one for one in track["settings"] if one["name"] == "NB_CLASSES")
        assert (setting["type"], setting["default"]) == ("integer", app.config["NB_CLASSES"])
        assert setting["minimum"] >= 1
        assert {"name": "accuracy", "unit": "%"}.items() <= track["leakage_metrics"][1].items()
        assert any(one["choices"] == ["balanced", "classic"] for one in track["rules"])

    def test_an_unknown_track_is_unknown(self, client, app):
        assert is_problem(client.get("/api/tracks/chess"), 404)


class TestRounds:
    def test_there_may_be_none(self, client, app):
        assert client.get("/api/rounds").json == []
        assert is_problem(client.get("/api/rounds/current"), 404)

    def test_a_round_has_phase_settings_and_timetable(self, client, defence_round):
        row = client.get("/api/rounds/current").json
        assert (row["phase"]["name"], row["phase"]["defence_open"], row["is_frozen"]) == ("defence", True, True)
        assert row["settings"]["NB_CLASSES"] == SMALL["NB_CLASSES"]
        assert [change["phase"] for change in row["timetable"]] == ["defence"]

    def test_only_admins_see_the_seed(self, client, defence_round, alice, ada, bearer, players):
        asked = [{}, alice, ada, bearer(players[2], Scope.READ)]
        assert [client.get("/api/rounds/1", headers=one).json["seed"] for one in asked] == [None, None, 1, None]

    def test_an_admin_sets_one_up_edits_it_and_opens_it(self, client, ada):
        body = {"track": "fingerprinting", "title": "Week 1", "settings": SMALL, "rules": {"MATCHES_PER_TEAM": 2}}
        made = client.post("/api/admin/rounds", json=body, headers=ada)
        assert made.status_code == 201
        assert made.headers["Location"] == "/api/rounds/1"
        path = "/api/admin/rounds/1"
        edited = client.patch(path, json={"settings": {"NB_CLASSES": 9}}, headers=ada).json
        assert (edited["settings"]["NB_CLASSES"], edited["rules"]["MATCHES_PER_TEAM"]) == (9, 2)
        assert edited["title"] == "Week 1"
        opened = client.post(f"{path}/phases", json={"phase": "defence"}, headers=ada).json
        assert opened["phase"]["defence_open"]
        assert is_problem(client.patch(path, json={"settings": {"NB_CLASSES": 8}}, headers=ada), 409)

    def test_a_change_is_planned_and_taken_back(self, client, ada, defence_round):
        at = (now() + timedelta(days=1)).isoformat()
        row = client.post("/api/admin/rounds/1/phases", json={"phase": "attack", "at": at}, headers=ada).json
        assert row["phase"]["next_phase"] == "attack"
        planned = row["timetable"][-1]["id"]
        assert client.delete(f"/api/admin/rounds/1/phases/{planned}", headers=ada).status_code == 204
        assert is_problem(client.delete(f"/api/admin/rounds/1/phases/{planned}", headers=ada), 409)
        past = {"phase": "attack", "at": "2020-01-01T00:00:00Z"}
        assert is_problem(client.post("/api/admin/rounds/1/phases", json=past, headers=ada), 409)
        extreme = {"phase": "attack", "at": "0001-01-01T00:00:00+14:00"}
        assert is_problem(client.post("/api/admin/rounds/1/phases", json=extreme, headers=ada), 422)

    def test_another_round_becomes_the_current_one_and_its_board_stands_still(self, client, ada, defence_round):
        make_round()
        assert client.post("/api/admin/rounds/2/current", headers=ada).json["is_current"]
        assert client.get("/api/rounds/current").json["number"] == 2
        frozen = client.put("/api/admin/rounds/2/board", json={"is_frozen": True}, headers=ada).json
        assert frozen["board_frozen_at"]


class TestTeams:
    def test_founding_inviting_joining_leaving(self, client, players, alice, mallory, bearer):
        made = client.post("/api/teams", json={"name": "Green"}, headers=mallory)
        assert made.status_code == 201
        path = f"/api/teams/{made.json['id']}"
        closed = client.put(f"{path}/open", json={"is_open": False}, headers=mallory).json
        dave = bearer(make_user("dave"))
        assert is_problem(client.post(f"{path}/join", headers=dave), 403)
        joined = client.post("/api/teams/join", json={"invitation": closed["invitation"]}, headers=dave)
        assert joined.json["members"] == ["mallory", "dave"]
        assert is_problem(client.post(f"{path}/leave", headers=alice), 403)
        assert client.post(f"{path}/leave", headers=dave).status_code == 204

    def test_history_and_invitation_are_for_the_team(self, client, players, alice, mallory, bearer):
        path = f"/api/teams/{players[0].id}"
        assert {"history", "invitation"} <= client.get(path, headers=alice).json.keys()
        assert "invitation" not in client.get(path, headers=bearer(accounts.named("bob"))).json
        assert not {"history", "invitation"} & client.get(path, headers=mallory).json.keys()

    def test_unknown_teams_are_unknown(self, client, alice):
        assert is_problem(client.get("/api/teams/99", headers=alice), 404)


class TestMatches:
    def test_everybody_sees_all_and_ones_own(self, client, players, alice, attack_round):
        red, blue, *_ = players
        make_attack(make_match(attack_round, red, blue))
        make_match(attack_round, blue, red)
        both = client.get("/api/matches", headers=alice).json
        assert [(one["attacker"]["name"], one["is_attacked"]) for one in both] == [("Red", True), ("Blue", False)]
        mine = client.get("/api/matches/mine?round=1", headers=alice).json
        assert [one["defender"]["name"] for one in mine] == ["Blue"]

    def test_the_challenge_is_for_those_who_have_matches(self, client, players, alice, mallory, attack_round):
        make_match(attack_round, players[0], players[1])
        with client.get("/api/challenge", headers=alice) as response:
            assert response.data[:2] == b"PK"
        assert is_problem(client.get("/api/challenge", headers=mallory), 403)

    def test_an_admin_draws_what_the_preview_showed(self, client, players, ada, defence_round):
        red, blue, *_ = players
        for team in (red, blue):
            make_defence(team, defence_round)
        plan = client.get("/api/admin/rounds/1/matches/preview", headers=ada).json
        assert len(plan["pairs"]) == 2
        stale = client.post("/api/admin/rounds/1/matches", json={"mark": "another"}, headers=ada)
        assert is_problem(stale, 409)
        assert db.session.scalar(db.select(db.func.count(Match.id))) == 0
        made = client.post("/api/admin/rounds/1/matches", json={"mark": plan["mark"]}, headers=ada)
        assert (made.status_code, len(made.json)) == (201, 2)
        assert is_problem(client.post("/api/admin/rounds/1/matches", json={}, headers=ada), 409)

    def test_the_house_is_prepared(self, app, client, players, ada, defence_round):
        assert client.get("/api/admin/rounds/1/house", headers=ada).json["ready"] == 0
        assert client.post("/api/admin/rounds/1/house", json={"count": 2}, headers=ada).status_code == 202
        assert client.post("/api/admin/rounds/1/reference/generated", headers=ada).status_code == 202
        sent = client.post("/api/admin/rounds/1/reference", data=sent_file(), headers=ada)
        assert (sent.status_code, sent.json["kind"]) == (202, "reference")
        assert [task.name for task in app.sent] == [
            "house.make",
            "house.make",
            "house.make_reference",
            "defences.check",
        ]


class TestLeaderboard:
    @pytest.fixture
    def played(self, players, attack_round):
        red, blue, *_ = players
        make_attack(make_match(attack_round, red, blue), 0.4)
        make_attack(make_match(attack_round, blue, red), 0.2)
        return attack_round

    def test_standings_plane_history_and_sum(self, client, played, alice):
        board = client.get("/api/leaderboard", headers=alice).json
        assert (board["round"], board["is_frozen"]) == (1, False)
        assert {row["team"] for row in board["standings"]} == {"Red", "Blue"}
        assert [place["name"] for place in client.get("/api/leaderboard/plane", headers=alice).json] == ["Red", "Blue"]
        assert client.get("/api/leaderboard/history", headers=alice).json[0]["points"]
        assert client.get("/api/leaderboard/overall", headers=alice).json[0]["rounds"].keys() == {"1"}
        assert is_problem(client.get("/api/leaderboard?round=9", headers=alice), 404)

    def test_admins_see_through_the_freeze_with_the_scope_for_it(self, client, played, alice, ada, bearer, players):
        db.session.get(Round, played.id).board_frozen_at = now() - timedelta(hours=2)
        asked = [alice, ada, bearer(players[2], Scope.READ)]
        frozen = [client.get("/api/leaderboard", headers=one).json["is_frozen"] for one in asked]
        assert frozen == [True, False, True]


class TestPeople:
    def test_an_admin_looks_up_edits_moves_and_resets(self, client, players, ada, alice):
        found = client.get("/api/admin/users?search=ALI", headers=ada).json
        assert [(one["username"], one["team"]["name"]) for one in found] == [("alice", "Red")]
        edited = client.patch("/api/admin/users/alice", json={"email": "a@example.org"}, headers=ada).json
        assert (edited["email"], edited["is_active"]) == ("a@example.org", True)
        assert client.put("/api/admin/users/alice/team", json={"team_id": None}, headers=ada).json["team"] is None
        link = client.post("/api/admin/users/alice/reset", headers=ada).json["link"]
        assert client.get(link.removeprefix("http://localhost")).status_code == 200
        assert is_problem(client.get("/api/me", headers=alice), 401)
        assert is_problem(client.get("/api/admin/users/nobody", headers=ada), 404)

    def test_nobody_takes_away_their_own_rights(self, client, ada):
        assert is_problem(client.patch("/api/admin/users/ada", json={"is_admin": False}, headers=ada), 409)

    def test_switches_and_names(self, client, players, ada):
        switched = {"registration_open": False, "team_lock": "2030-01-01T00:00:00Z"}
        answer = client.patch("/api/admin/site", json=switched, headers=ada).json
        assert answer == {"registration_open": False, "team_lock": "2030-01-01T00:00:00+00:00"}
        assert client.patch("/api/admin/site", json={"team_lock": None}, headers=ada).json["team_lock"] is None
        assert is_problem(client.patch("/api/admin/site", json={}, headers=ada), 422)
        team = make_team("Green")
        renamed = client.put(f"/api/admin/teams/{team.id}/name", json={"name": "Teal"}, headers=ada)
        assert renamed.json["name"] == "Teal"


class TestRecords:
    def test_the_log_mails_exports_and_the_overview(self, client, players, ada):
        user = accounts.named("alice")
        mails.post(user, "reset", "Choose a new password", token="t")
        db.session.commit()
        assert client.get("/api/admin/audit?action=token", headers=ada).json[0]["actor"] == "ada"
        assert client.get("/api/admin/mails?status=queued", headers=ada).json[0]["recipient"] == user.email
        assert "password" in client.get("/api/admin/mails/1", headers=ada).json["text"]
        assert client.post("/api/admin/mails/1/again", headers=ada).status_code == 202
        assert client.post("/api/admin/mails/failed", headers=ada).json == {"count": 0}
        assert client.get("/api/admin/exports", headers=ada).json["users"] == 5
        export = client.get("/api/admin/exports/users.csv", headers=ada, buffered=True)
        assert (export.mimetype, export.text.count("\n")) == ("text/csv", 6)
        assert "password" not in export.text
        assert is_problem(client.get("/api/admin/exports/secrets.csv", headers=ada), 404)
        assert client.get("/api/admin/overview", headers=ada).json["teams"] == 2
