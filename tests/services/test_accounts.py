from datetime import timedelta

import pytest

from app.errors import Conflict, Forbidden, Refused, TooMany
from app.extensions import db
from app.models import AuditEntry, Mail, Membership, User, now
from app.services import accounts, site, teams
from tests.factories import PASSWORD, make_admin, make_players, make_user


def register(name="dora", email="dora@example.org", password=PASSWORD, sciper=123456, team="", new_team=""):
    return accounts.register(name, email, password, sciper, team, new_team)


class TestRegister:
    def test_stores_everything_and_never_the_password(self, app):
        user = register(email=" Dora@Example.org ", new_team="Otters")

        assert (user.username, user.email, user.sciper) == ("dora", "dora@example.org", 123456)
        assert user.password_hash.startswith("$argon2id$")
        assert teams.of(user).name == "Otters"

    def test_takes_the_free_seat_of_a_team(self, app):
        _, blue, _ = make_players()

        register(team="blue")

        assert [user.username for user in teams.members(blue)] == ["carol", "dora"]

    def test_keeps_neither_person_nor_team_when_the_team_is_full(self, app):
        make_players()

        with pytest.raises(Conflict, match="full"):
            register(team="Red")

        assert accounts.find("dora") is None

    @pytest.mark.parametrize(
        ("clash", "message"),
        [
            ({"name": "ALICE"}, "username"),
            ({"email": "Alice@example.org"}, "e-mail"),
            ({"sciper": 100_777}, "sciper"),
        ],
    )
    def test_refuses_what_is_taken_and_says_what(self, app, clash, message):
        make_user("alice", sciper=100_777)

        with pytest.raises(Conflict, match=message):
            register(**clash)

    @pytest.mark.parametrize("name", ["", "a", "has space", "-dash", "ünï", "a" * 65, "../etc", "a/b"])
    def test_refuses_names_that_make_bad_addresses(self, app, name):
        with pytest.raises(Refused, match="username"):
            register(name=name)

    @pytest.mark.parametrize("sciper", [99_999, 1_000_000, -1])
    def test_refuses_a_sciper_out_of_its_range(self, app, sciper):
        with pytest.raises(Refused, match="sciper"):
            register(sciper=sciper)

    @pytest.mark.parametrize("password", ["short", "x" * 1001])
    def test_refuses_a_password_that_is_too_short_or_too_long(self, app, password):
        with pytest.raises(Refused, match="10 to 1000"):
            register(password=password)

    @pytest.mark.parametrize("team", ["New team", "House of cards", "a/b", "", "  ", "x" * 41, "<b>"])
    def test_refuses_team_names_that_the_site_needs_or_cannot_show(self, app, team):
        if not team.strip():
            assert teams.of(register(new_team=team.strip())) is None
            return
        with pytest.raises(Refused, match="team name"):
            register(new_team=team)
        assert accounts.find("dora") is None

    def test_is_closed_when_an_admin_locks_it(self, app):
        site.set_registration_open(make_admin(), False)

        with pytest.raises(Forbidden, match="closed"):
            register()

    def test_asks_for_verification_where_that_is_switched_on(self, app):
        app.config["VERIFY_EMAIL"] = True
        register()

        with pytest.raises(Forbidden, match="Confirm"):
            accounts.authenticate("dora", PASSWORD)

        mail = db.session.scalar(db.select(Mail))
        token = next(word for word in mail.text.split() if "/verify/" in word).rsplit("/", 1)[1]
        accounts.verify(token)
        assert accounts.authenticate("dora", PASSWORD).username == "dora"


class TestAuthenticate:
    @pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.org"])
    def test_knows_people_by_name_and_address(self, app, name):
        make_user("alice")

        assert accounts.authenticate(name, PASSWORD).username == "alice"

    def test_says_the_same_of_an_unknown_name_and_a_wrong_password(self, app):
        make_user("alice")

        with pytest.raises(Refused) as unknown:
            accounts.authenticate("nobody", PASSWORD)
        with pytest.raises(Refused) as wrong:
            accounts.authenticate("alice", "wrong")

        assert str(unknown.value) == str(wrong.value)

    def test_delays_longer_with_every_wrong_password_and_even_the_right_one_waits(self, app):
        alice = make_user("alice")
        delays = []
        for _ in range(6):
            with pytest.raises(Refused, match="Invalid"):
                accounts.authenticate("alice", "wrong")
            delays.append(alice.locked_until - now() if alice.locked_until else timedelta(0))
            if alice.locked_until:
                with pytest.raises(TooMany, match="seconds"):
                    accounts.authenticate("alice", PASSWORD)
                alice.locked_until = now()
                db.session.commit()

        assert delays[:3] == [timedelta(0)] * 3
        assert delays[3] < delays[4] < delays[5]
        assert accounts.authenticate("alice", PASSWORD)
        assert alice.failed_logins == 0

    def test_refuses_a_deactivated_account(self, app):
        make_user("alice", is_active=False)

        with pytest.raises(Forbidden, match="deactivated"):
            accounts.authenticate("alice", PASSWORD)

    def test_refuses_an_account_without_a_hash(self, app):
        make_user("alice", password_hash="")

        with pytest.raises(Refused, match="Invalid"):
            accounts.authenticate("alice", "")


class TestChangePassword:
    def test_wrong_passwords_count_as_at_the_login(self, app):
        alice = make_user("alice")
        for _ in range(4):
            with pytest.raises(Refused, match="not right"):
                accounts.change_password(alice, "wrong", "another good password")

        with pytest.raises(TooMany, match="seconds"):
            accounts.change_password(alice, PASSWORD, "another good password")
        with pytest.raises(TooMany, match="seconds"):
            accounts.authenticate("alice", PASSWORD)

    def test_the_right_one_sets_the_new_one(self, app):
        alice = make_user("alice")
        accounts.change_password(alice, PASSWORD, "another good password")

        assert accounts.authenticate("alice", "another good password") == alice


class TestReset:
    def token(self):
        return db.session.scalars(db.select(Mail.text)).all()[-1].split("/reset/")[1].split()[0]

    def test_sets_a_new_password_once_and_logs_out_everywhere(self, app):
        alice = make_user("alice")
        session = alice.get_id()
        accounts.request_reset("alice@example.org")
        token = self.token()

        accounts.reset(token, "another long password")

        assert accounts.authenticate("alice", "another long password")
        assert accounts.by_session(session) is None
        with pytest.raises(Refused, match="used already"):
            accounts.reset(token, "a third long password")

    def test_says_nothing_of_unknown_addresses(self, app):
        accounts.request_reset("nobody@example.org")

        assert db.session.scalar(db.select(Mail)) is None

    def test_an_expired_or_forged_link_is_refused(self, app):
        make_user("alice")
        accounts.request_reset("alice")
        token = self.token()
        with pytest.raises(Refused, match="not valid"):
            accounts.reset(token[:-2] + "xx", "another long password")
        app.config["LINK_HOURS"] = -1
        with pytest.raises(Refused, match="older than"):
            accounts.reset(token, "another long password")

    def test_a_verification_link_resets_nothing(self, app):
        app.config["VERIFY_EMAIL"] = True
        register()
        token = db.session.scalar(db.select(Mail)).text.split("/verify/")[1].split()[0]

        with pytest.raises(Refused, match="not valid"):
            accounts.reset(token, "another long password")


class TestEdit:
    def test_is_audited_with_what_changed(self, app):
        ada, alice = make_admin(), make_user("alice")

        accounts.edit(ada, alice, "new@example.org", alice.sciper, True, True)

        entry = db.session.scalars(db.select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert (entry.actor_id, entry.action, entry.subject) == (ada.id, "user.edit", "alice")
        assert entry.details == {"email": ["alice@example.org", "new@example.org"], "is_admin": [False, True]}

    def test_an_admin_keeps_their_own_rights(self, app):
        ada = make_admin()

        with pytest.raises(Conflict, match="your own"):
            accounts.edit(ada, ada, ada.email, None, False, True)

    def test_a_deactivated_person_is_logged_out(self, app):
        ada, alice = make_admin(), make_user("alice")
        session = alice.get_id()

        accounts.edit(ada, alice, alice.email, alice.sciper, False, False)

        assert accounts.by_session(session) is None

    def test_a_player_becomes_no_admin(self, app):
        red, _, ada = make_players()
        alice = teams.captain(red)

        with pytest.raises(Conflict, match="in no team"):
            accounts.edit(ada, alice, alice.email, alice.sciper, True, True)

    def test_a_clash_changes_nothing(self, app):
        ada, alice, bob = make_admin(), make_user("alice"), make_user("bob")

        with pytest.raises(Conflict, match="Another account"):
            accounts.edit(ada, alice, bob.email, alice.sciper, False, True)

        assert db.session.get(User, alice.id).email == "alice@example.org"


class TestSeats:
    def test_the_database_forbids_two_holders_of_a_seat(self, app):
        """Two people who join in the same moment both see a free seat; the second insert fails."""
        from sqlalchemy.exc import IntegrityError

        _, blue, _ = make_players()
        dora = make_user("dora")
        db.session.add(Membership(user_id=dora.id, team_id=blue.id, seat=1))

        with pytest.raises(IntegrityError):
            db.session.flush()
        db.session.rollback()
