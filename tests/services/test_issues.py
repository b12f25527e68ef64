"""What a round issues to its teams."""

import dataclasses

import pytest

from app import tracks
from app.errors import Conflict, Forbidden, NotFound
from app.extensions import db
from app.models import Issue
from app.rules.phases import Phase
from app.services import issues, rounds
from tests.factories import Sent, make_admin, make_round, make_team, make_user


@pytest.fixture
def issuing(monkeypatch):
    """The first track, as if it issued something."""
    first, *others = tracks.CARDS
    monkeypatch.setattr(tracks, "CARDS", (dataclasses.replace(first, issue="You get secrets."), *others))


@pytest.fixture
def row(app, issuing):
    return make_round("defence")


@pytest.fixture
def alice(app):
    alice = make_user("alice")
    make_team("Red", alice)
    return alice


def read(user, row):
    stream, name = issues.download(user, row)
    with stream:
        return stream.read(), name


class TestDownload:
    def test_a_team_gets_its_own_files(self, referee, row, alice):
        carol = make_user("carol")
        blue = make_team("Blue", carol)
        content, name = read(carol, row)
        assert content == f"files of team {blue.id}".encode()
        assert name == f"round_{row.number}_team_{blue.id}_files.zip"
        assert read(alice, row)[0] != content

    def test_they_are_made_once_and_stay_the_same(self, referee, row, alice):
        assert read(alice, row) == read(alice, row)
        assert len(referee.asked_for("write_issues")) == 1

    def test_two_members_who_ask_in_the_same_moment_get_the_same(self, referee, row, alice):
        team = issues.teams.of(alice)

        def other():
            referee.meanwhile = lambda: None
            issues._make([team.id], row)

        referee.meanwhile = other
        assert read(alice, row)[0] == f"files of team {team.id}".encode()
        assert db.session.scalar(db.select(db.func.count(Issue.id))) == 1

    def test_nobody_gets_them_before_the_round_opens(self, referee, app, issuing, alice):
        with pytest.raises(Conflict, match="not opened yet"):
            issues.download(alice, make_round())

    def test_who_has_no_team_gets_none(self, referee, row):
        with pytest.raises(Forbidden, match="no team"):
            issues.download(make_user("mallory"), row)

    def test_a_track_that_issues_nothing_says_so(self, referee, app, alice):
        with pytest.raises(NotFound, match="issues nothing"):
            issues.download(alice, make_round("defence"))


class TestPrepare:
    def test_every_team_has_its_files_before_it_asks(self, referee, row, alice):
        make_team("Blue", make_user("carol"))
        assert issues.prepare(row) == 2
        assert issues.prepare(row) == 0

    def test_nothing_is_made_for_a_round_that_has_not_opened(self, referee, app, issuing, alice):
        assert issues.prepare(make_round()) == 0

    def test_opening_a_round_has_them_made(self, app, issuing):
        row = make_round()
        rounds.set_phase(make_admin(), row, Phase.DEFENCE)
        assert Sent("issues.prepare", (row.id,), "checks") in app.sent
