"""The scripts of `flask shell`, and the demonstration through the real services and the reference script."""

import pytest

import db_scripts
from app.extensions import db
from app.models import Attack, Match, Status, Team, Upload, UploadKind, User
from app.rules.phases import Phase
from app.services import accounts, leaderboard, matches, rounds, teams
from tests.factories import make_admin, make_attack, make_match, make_players, make_round, run_tasks


class TestPopulate:
    def test_five_teams_of_two_and_an_admin_who_can_log_in(self, app):
        made = db_scripts.populate_test_users()
        assert [team.name for team in made] == ["al-bo", "cha-di", "eu-fra", "ger-hec", "ign-joh"]
        assert [user.username for user in teams.members(made[0])] == ["alice", "bob"]
        assert accounts.authenticate("john", db_scripts.DEMO_PASSWORD).email == "john@example.org"
        assert accounts.authenticate("admin", db_scripts.DEMO_PASSWORD).is_admin

    def test_an_admin_that_is_there_stays_the_only_one(self, app):
        make_admin("ada")
        db_scripts.populate_test_users()
        assert db.session.scalars(db.select(User.username).where(User.is_admin)).all() == ["ada"]

    def test_a_second_time_changes_nothing(self, app):
        db_scripts.populate_test_users()
        db_scripts.populate_test_users()
        assert len(teams.everyone()) == 5
        assert len(accounts.everybody()) == 11


class TestFlush:
    def test_matches_go_with_their_attacks_and_can_be_generated_again(self, app):
        red, blue, _ = make_players()
        row = make_round("attack")
        make_attack(make_match(row, red, blue))
        make_match(row, blue, red)
        assert db_scripts.flush_matches() == 2
        assert db.session.scalar(db.select(Attack)) is None
        assert len(matches.generate(None, row)) == 2

    def test_everything_goes_only_when_it_is_meant(self, app):
        red, blue, _ = make_players()
        row = make_round("attack")
        row.reference_id = make_match(row, red, blue).defence_id
        db.session.commit()
        with pytest.raises(db_scripts.DemoError, match="confirmed=True"):
            db_scripts.flush_whole_db()
        assert db.session.scalar(db.select(Match)) is not None
        db_scripts.flush_whole_db(confirmed=True)
        assert not [table for table in db.metadata.sorted_tables if db.session.execute(table.select()).first()]


class TestDemo:
    def test_a_whole_round_is_played_and_left_open(self, app, monkeypatch):
        monkeypatch.setattr(db_scripts, "DEMO_TEAMS", dict(list(db_scripts.DEMO_TEAMS.items())[:2]))
        monkeypatch.setattr(db_scripts, "DEMO_DEFENCES", ("undefended", "tamaraw"))

        def work(what, done):
            run_tasks(app, without=["references.play"])
            assert done(), what

        monkeypatch.setattr(db_scripts, "_wait", work)
        said = []
        db_scripts.demo(said.append)
        row = rounds.by_number(None)
        assert rounds.phase(row).phase is Phase.BOTH
        assert {upload.status for upload in db.session.scalars(db.select(Upload))} == {Status.ACCEPTED}
        kinds = db.session.scalars(db.select(Upload.kind)).all()
        assert [kinds.count(kind) for kind in UploadKind] == [2, 2, 1]
        first, second = leaderboard.compute(row).rows
        assert first.score > second.score
        assert first.attacked == first.matches == 1
        assert db_scripts.DEMO_PASSWORD in said[0]

    def test_a_site_in_use_is_left_alone(self, app):
        make_players()
        with pytest.raises(db_scripts.DemoError, match="needs an empty one"):
            db_scripts.demo()
        assert db.session.scalar(db.select(db.func.count(Team.id))) == 2

    def test_workers_that_do_not_answer_are_not_waited_for_for_ever(self, app, monkeypatch):
        monkeypatch.setattr(db_scripts, "DEADLINE_SECONDS", 0)
        with pytest.raises(db_scripts.DemoError, match="Are the workers running"):
            db_scripts._wait("the check", lambda: False)
