from datetime import timedelta

import pytest

from app.errors import Conflict, Forbidden, Refused
from app.extensions import db
from app.models import Mail, now
from app.services import site, teams
from tests.factories import make_admin, make_players, make_team, make_user


class TestJoin:
    def test_takes_a_free_seat_and_tells_the_others(self, app):
        _, blue, _ = make_players()
        dora = make_user("dora")

        teams.join(dora, blue)

        assert teams.of(dora) == blue
        assert [mail.recipient for mail in db.session.scalars(db.select(Mail))] == ["carol@example.org"]

    def test_refuses_a_full_team(self, app):
        red, _, _ = make_players()

        with pytest.raises(Conflict, match="full"):
            teams.join(make_user("dora"), red)

    def test_refuses_a_second_team(self, app):
        _, blue, _ = make_players()
        dora = make_user("dora")
        make_team("Green", dora)

        with pytest.raises(Conflict, match="already"):
            teams.join(dora, blue)

    def test_refuses_admins_and_the_house(self, app):
        _, blue, ada = make_players()

        with pytest.raises(Forbidden):
            teams.join(ada, blue)
        with pytest.raises(Forbidden):
            teams.join(make_user("dora"), make_team("House front", is_house=True))

    def test_a_closed_team_needs_an_invitation(self, app):
        _, blue, _ = make_players()
        carol, dora = teams.captain(blue), make_user("dora")
        teams.set_open(carol, False)

        with pytest.raises(Forbidden, match="invitation"):
            teams.join(dora, blue)

        assert teams.join_by_invitation(dora, teams.invitation(carol)) == blue

    def test_an_invitation_ends_when_the_inviter_leaves(self, app):
        _, blue, _ = make_players()
        carol = teams.captain(blue)
        token = teams.invitation(carol)
        teams.leave(carol)

        with pytest.raises(Refused, match="not valid any more"):
            teams.join_by_invitation(make_user("dora"), token)

    def test_only_the_captain_invites(self, app):
        red, _, _ = make_players()

        with pytest.raises(Forbidden):
            teams.invitation(teams.members(red)[1])


class TestLock:
    def test_nobody_changes_team_after_the_date(self, app):
        red, blue, ada = make_players()
        dora = make_user("dora")
        site.set_team_lock(ada, now() - timedelta(minutes=1))

        for change in (
            lambda: teams.join(dora, blue),
            lambda: teams.leave(teams.captain(red)),
            lambda: teams.create(dora, "Green"),
        ):
            with pytest.raises(Forbidden, match="fixed"):
                change()

    def test_an_admin_still_moves_people(self, app):
        red, blue, ada = make_players()
        bob = teams.members(red)[1]
        site.set_team_lock(ada, now() - timedelta(minutes=1))

        teams.move(ada, bob, blue)

        assert teams.of(bob) == blue

    def test_a_date_in_the_future_does_not_lock(self, app):
        site.set_team_lock(make_admin(), now() + timedelta(minutes=1))

        assert not site.teams_locked()


class TestHistory:
    def test_keeps_who_left(self, app):
        red, _, _ = make_players()
        alice = teams.captain(red)

        teams.leave(alice)

        assert [(one.user.username, one.left_at is not None) for one in teams.history(red)] == [
            ("alice", True),
            ("bob", False),
        ]
        assert teams.captain(red).username == "bob"

    def test_a_seat_that_was_left_can_be_taken_again(self, app):
        red, _, _ = make_players()
        alice = teams.captain(red)
        teams.leave(alice)

        teams.join(make_user("dora"), red)

        assert len(teams.members(red)) == 2


class TestOpenTeams:
    def test_lists_teams_with_a_free_seat_that_want_members(self, app):
        _, blue, _ = make_players()
        make_team("Empty")
        make_team("Closed", make_user("dora"), is_open=False)
        make_team("House front", is_house=True)

        assert teams.open_teams() == [blue]


class TestRename:
    def test_refuses_a_name_that_is_taken(self, app):
        _, blue, ada = make_players()

        with pytest.raises(Conflict):
            teams.rename(ada, blue, "Red")
        teams.rename(ada, blue, "Navy")
        assert teams.named("navy") == blue
