from datetime import timedelta

import pytest

from app.models import Mail, User, now
from app.services import accounts, links, site, teams
from tests.factories import PASSWORD, log_in, make_admin, make_players, make_team, make_user
from tests.web.pages import text

NEW = {
    "username": "erin",
    "email": "Erin@example.org",
    "password": "a long enough one",
    "password2": "a long enough one",
    "sciper": "123456",
    "team_select": "",
    "new_team_name": "",
}


def register(client, query="", **values):
    return client.post(f"/register{query}", data={**NEW, **values})


def person(session, name="erin"):
    return session.query(User).filter_by(username=name).one_or_none()


class TestRegistering:
    def test_it_keeps_everything_and_leads_to_the_login(self, client, session):
        response = register(client)
        assert (response.status_code, response.location) == (303, "/login")
        erin = person(session)
        assert (erin.email, erin.sciper, teams.of(erin)) == ("erin@example.org", 123456, None)
        assert "You can log in now" in text(client.get("/login"))

    def test_a_new_team_is_founded(self, client, session):
        register(client, team_select="+new", new_team_name="Otters")
        assert teams.of(person(session)).name == "Otters"

    def test_an_open_team_is_joined(self, client, session):
        make_team("Red", make_user("alice"))
        assert "Join Red" in text(client.get("/register"))
        register(client, team_select="Red")
        assert teams.of(person(session)).name == "Red"

    def test_an_invitation_preselects_even_a_closed_team(self, client, session):
        alice = make_user("alice")
        make_team("Red", alice, is_open=False)
        token = teams.invitation(alice)
        assert "invited to team Red" in text(client.get(f"/register?invite={token}"))
        register(client, f"?invite={token}", team_select="+new", new_team_name="Otters")
        assert teams.of(person(session)).name == "Red"

    def test_a_forged_invitation_is_named_and_not_needed(self, client, session):
        assert "This link is not valid" in text(client.get("/register?invite=forged"))
        register(client, "?invite=forged")
        assert person(session)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"email": "nonsense"}, "This is not an e-mail address."),
            ({"password2": "another one"}, "The two passwords differ."),
            ({"password": "short", "password2": "short"}, "A password needs 10"),
            ({"sciper": "12345"}, "A sciper has six digits"),
            ({"sciper": ""}, "Enter your sciper"),
            ({"username": "é"}, "A username has 2 to 64 letters"),
            ({"team_select": "+new"}, "Give the new team a name."),
            ({"new_team_name": "Otters"}, "choose “New team” above"),
            ({"team_select": "+new", "new_team_name": "New team"}, "not a word that the site uses itself"),
            ({"team_select": "+new", "new_team_name": "House of Cards"}, "not a word that the site uses itself"),
            ({"team_select": "+new", "new_team_name": "a/b"}, "A team name has 1 to 40 letters"),
            ({"team_select": "Nowhere"}, "There is no team of this name."),
        ],
    )
    def test_what_is_wrong_is_said_on_the_page_and_nobody_is_made(self, client, session, values, words):
        response = register(client, **values)
        assert response.status_code in (400, 404)
        assert words in text(response)
        assert person(session) is None

    def test_what_was_typed_stays_and_the_password_does_not(self, client):
        page = register(client, email="nonsense").get_data(as_text=True)
        assert 'value="erin"' in page
        assert NEW["password"] not in page

    @pytest.mark.parametrize(
        ("column", "values"),
        [("sciper", {}), ("username", {"username": "ERIN"}), ("e-mail address", {"email": "erin@EXAMPLE.org"})],
    )
    def test_names_addresses_and_scipers_are_unique(self, client, session, column, values):
        register(client)
        others = {"username": "frank", "email": "frank@example.org", "sciper": "654321"}
        del others[{"e-mail address": "email"}.get(column, column)]
        response = register(client, **{**others, **values})
        assert response.status_code == 409
        assert f"This {column} is already registered." in text(response)
        assert session.query(User).count() == 1

    def test_a_full_team_takes_nobody(self, client, session):
        make_players()
        response = register(client, team_select="Red")
        assert response.status_code == 409
        assert "This team is full." in text(response)
        assert person(session) is None

    def test_nobody_registers_while_registration_is_closed(self, client, session):
        site.set_registration_open(make_admin(), False)
        assert "Registration is closed" in text(client.get("/register"))
        assert register(client).status_code == 403
        assert person(session) is None

    def test_the_lock_date_holds_for_newcomers_too(self, client, session):
        make_team("Red", make_user("alice"))
        site.set_team_lock(make_admin(), now() - timedelta(days=1))
        assert "Teams are fixed now" in text(client.get("/register"))
        assert register(client, team_select="Red").status_code == 403
        assert person(session) is None
        assert register(client).status_code == 303


class TestLoggingIn:
    @pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.org"])
    def test_by_name_or_address(self, client, name):
        make_user("alice")
        response = client.post("/login", data={"username": name, "password": PASSWORD})
        assert (response.status_code, response.location) == (303, "/")
        assert "Welcome, alice" in text(client.get("/"))

    def test_a_wrong_password_says_nothing_about_the_account(self, client):
        make_user("alice")
        wrong = client.post("/login", data={"username": "alice", "password": "no"})
        unknown = client.post("/login", data={"username": "nobody", "password": "no"})
        assert wrong.status_code == unknown.status_code == 400
        assert "Invalid username or password." in text(wrong)
        assert "Invalid username or password." in text(unknown)

    def test_after_some_wrong_passwords_the_account_waits_longer_and_longer(self, client, session):
        alice = make_user("alice")
        waits = []
        for _ in range(6):
            client.post("/login", data={"username": "alice", "password": "no"})
            session.refresh(alice)
            waits.append((alice.locked_until - now()).total_seconds() if alice.locked_until else 0)
            alice.locked_until = now() - timedelta(seconds=1) if alice.locked_until else None
        assert waits[:3] == [0, 0, 0]
        assert waits[3] > 1
        assert waits[5] > 1.5 * waits[4] > 2 * waits[3]

    def test_while_it_waits_the_right_password_does_not_help(self, client):
        make_user("alice", failed_logins=9, locked_until=now() + timedelta(minutes=5))
        response = client.post("/login", data={"username": "alice", "password": PASSWORD})
        assert response.status_code == 429
        assert "Try again in" in text(response)

    def test_an_account_without_a_password_cannot_log_in(self, client):
        make_user("alice", password_hash="")
        assert client.post("/login", data={"username": "alice", "password": "x"}).status_code == 400

    def test_a_deactivated_account_cannot_log_in(self, client):
        make_user("alice", is_active=False)
        response = client.post("/login", data={"username": "alice", "password": PASSWORD})
        assert response.status_code == 403
        assert "deactivated" in text(response)

    def test_remember_me_sets_a_lasting_cookie(self, client):
        make_user("alice")
        client.post("/login", data={"username": "alice", "password": PASSWORD, "remember_me": "y"})
        assert client.get_cookie("remember_token") is not None

    def test_without_it_nothing_lasts(self, client):
        make_user("alice")
        client.post("/login", data={"username": "alice", "password": PASSWORD})
        assert client.get_cookie("remember_token") is None

    def test_nothing_that_was_in_the_session_before_survives(self, client):
        make_user("alice")
        with client.session_transaction() as cookie:
            cookie["planted"] = "by somebody else"
        client.post("/login", data={"username": "alice", "password": PASSWORD})
        with client.session_transaction() as cookie:
            assert "planted" not in cookie

    @pytest.mark.parametrize(
        "target",
        [
            *("//evil.example", "/\\evil.example", "///evil.example", "https:evil.example", "https://evil.example"),
            *("javascript:alert(1)", "\\\\evil.example", "/\t/evil.example", "evil.example", "/\n/evil.example"),
        ],
    )
    def test_it_never_leads_to_another_site(self, client, target):
        make_user("alice")
        response = client.post(
            "/login", query_string={"next": target}, data={"username": "alice", "password": PASSWORD}
        )
        assert response.location == "/"

    def test_it_leads_back_to_a_page_of_this_site(self, client):
        make_user("alice")
        asked = client.get("/leaderboard/?round=1")
        assert asked.status_code == 302
        response = client.post(asked.location, data={"username": "alice", "password": PASSWORD})
        assert response.location == "/leaderboard/?round=1"


class TestRateLimits:
    @pytest.fixture
    def settings(self, settings):
        return type("Settings", (settings,), {"RATELIMIT_ENABLED": True, "LOGIN_RATE_LIMIT": "3 per minute"})

    def test_too_many_tries_from_one_address_are_refused(self, client):
        tries = [client.post("/login", data={"username": f"u{i}", "password": "no"}).status_code for i in range(5)]
        assert tries == [400, 400, 400, 429, 429]
        assert client.get("/login").status_code == 200


class TestForgeries:
    @pytest.fixture
    def settings(self, settings):
        return type("Settings", (settings,), {"WTF_CSRF_ENABLED": True})

    @pytest.mark.parametrize(
        "path",
        [
            *("/login", "/register", "/logout", "/forgot", "/verify", "/verify/x", "/password"),
            *("/team/new", "/team/Red/leave", "/team/Blue/join", "/team/Red/open", "/team/join/x"),
            *("/defence/", "/attack/", "/upload/1/choose"),
        ],
    )
    def test_every_post_needs_the_token_of_a_form(self, client, path):
        make_players()
        log_in(client, accounts.named("alice"))
        response = client.post(path, data={"username": "x"})
        assert response.status_code == 400
        assert "This form has expired" in text(response)


class TestLoggingOut:
    def test_a_get_logs_nobody_out(self, client):
        log_in(client, make_user("alice"))
        assert "Log out now" in text(client.get("/logout"))
        assert "Welcome, alice" in text(client.get("/"))

    def test_a_post_does(self, client):
        log_in(client, make_user("alice"))
        assert client.post("/logout").status_code == 303
        assert "Log in" in text(client.get("/"))


class TestVerifying:
    @pytest.fixture
    def settings(self, settings):
        return type("Settings", (settings,), {"VERIFY_EMAIL": True})

    def test_nobody_logs_in_before_confirming(self, client, session):
        assert "We have sent a link" in text(client.get(register(client).location))
        entry = {"username": "erin", "password": NEW["password"]}
        assert "Confirm your e-mail address first" in text(client.post("/login", data=entry))
        erin = person(session)
        token = links.sign("verify", [erin.id, erin.email])
        assert client.get(f"/verify/{token}").status_code == 200
        assert client.post("/login", data=entry).status_code == 403
        assert client.post(f"/verify/{token}").status_code == 303
        assert client.post("/login", data=entry).status_code == 303

    def test_a_forged_link_says_so(self, client):
        response = client.post("/verify/forged")
        assert response.status_code == 400
        assert "This link is not valid" in text(response)

    def test_the_link_is_sent_again_to_those_who_wait_only(self, client, session):
        make_user("alice")
        make_user("bob", verified_at=None)
        answers = [client.post("/verify", data={"email": f"{name}@example.org"}) for name in ("alice", "bob", "nobody")]
        assert {answer.status_code for answer in answers} == {303}
        assert [mail.recipient for mail in session.query(Mail)] == ["bob@example.org"]


class TestResetting:
    def test_the_answer_is_the_same_for_unknown_addresses(self, client, session):
        make_user("alice")
        known = client.post("/forgot", data={"email": "alice@example.org"})
        unknown = client.post("/forgot", data={"email": "nobody@example.org"})
        assert known.location == unknown.location == "/login"
        assert session.query(Mail).count() == 1

    def test_a_link_sets_a_password_once(self, client):
        alice = make_user("alice")
        token = accounts._reset_token(alice)
        assert "For the account alice" in text(client.get(f"/reset/{token}"))
        new = {"password": "quite another one", "password2": "quite another one"}
        assert client.post(f"/reset/{token}", data=new).status_code == 303
        assert client.post("/login", data={"username": "alice", "password": "quite another one"}).status_code == 303
        assert "used already" in text(client.get(f"/reset/{token}"))

    def test_a_bad_password_keeps_the_form(self, client):
        token = accounts._reset_token(make_user("alice"))
        response = client.post(f"/reset/{token}", data={"password": "short", "password2": "short"})
        assert response.status_code == 400
        assert "A password needs 10" in text(response)

    def test_it_can_be_switched_off(self, app, client):
        app.config["PASSWORD_RESET"] = False
        assert "teaching staff resets passwords" in text(client.get("/forgot"))
        assert client.post("/forgot", data={"email": "alice@example.org"}).status_code == 403


class TestChangingThePassword:
    @pytest.fixture
    def new(self):
        return {"old_password": PASSWORD, "password": "quite another one", "password2": "quite another one"}

    def test_other_sessions_end_and_this_one_goes_on(self, app, client, new):
        alice = make_user("alice")
        other = log_in(app.test_client(), alice)
        log_in(client, alice)
        assert client.post("/password", data=new).status_code == 303
        assert "Welcome, alice" in text(client.get("/"))
        assert "Welcome, alice" not in text(other.get("/"))

    def test_it_needs_the_current_one(self, client, new):
        log_in(client, make_user("alice"))
        response = client.post("/password", data={**new, "old_password": "wrong"})
        assert response.status_code == 400
        assert "The current password is not right." in text(response)
