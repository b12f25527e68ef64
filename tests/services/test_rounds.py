"""Rounds: settings that freeze, phases by hand and by schedule, announced once."""

from datetime import timedelta

import pytest

from app.errors import Conflict, InvalidParameters, NotFound
from app.extensions import db
from app.models import AuditEntry, Mail, now
from app.rules.phases import Phase
from app.services import rounds
from tests.factories import SMALL, make_admin, make_round, make_team, make_user

HOUR = timedelta(hours=1)


@pytest.fixture
def ada(app):
    return make_admin()


def phase(row):
    return rounds.phase(row).phase


class TestCreate:
    def test_the_first_round_is_the_current_one_and_nothing_is_open(self, ada):
        first = rounds.create(ada, "fingerprinting")
        second = rounds.create(ada, "fingerprinting")
        assert rounds.current() is first
        assert [first.number, second.number] == [1, 2]
        assert phase(first) is Phase.NONE

    def test_the_installations_settings_are_its_defaults(self, app, ada):
        app.config["NB_TRACES_TO_CLASSIFY"], app.config["MATCHES_PER_TEAM"] = 150, 2
        row = rounds.create(ada, "fingerprinting")
        assert row.track_settings["NB_TRACES_TO_CLASSIFY"] == 150
        assert rounds.rules(row).MATCHES_PER_TEAM == 2

    def test_a_track_may_have_usual_rules_of_its_own(self, app, ada):
        assert rounds.rules(rounds.create(ada, "fingerprinting")).feedback_step == 0
        assert rounds.rules(rounds.create(ada, "membership")).feedback_step > 0
        assert rounds.rules(rounds.create(ada, "membership", rule_values={"feedback_step": 0.01})).feedback_step == 0.01
        app.config["feedback_step"] = 0.02
        assert rounds.rules(rounds.create(ada, "membership")).feedback_step == 0.02

    def test_its_own_settings_go_before(self, ada):
        row = rounds.create(ada, "fingerprinting", settings=SMALL, rule_values={"scoring": "classic"})
        assert SMALL["NB_CLASSES"] == rounds.track(row).settings.NB_CLASSES
        assert rounds.rules(row).scoring == "classic"

    @pytest.mark.parametrize(
        ("values", "rules"),
        [({"NB_CLASSES": 1}, {}), ({"NB_TRACES_TO_CLASSIFY": 5}, {}), ({}, {"scoring": "astrology"}), ({"FOO": 1}, {})],
    )
    def test_settings_that_break_their_bounds_are_refused(self, ada, values, rules):
        with pytest.raises(InvalidParameters):
            rounds.create(ada, "fingerprinting", settings=values, rule_values=rules)
        assert rounds.everyone() == []

    def test_seeds_differ_unless_given(self, ada):
        drawn = {rounds.create(ada, "fingerprinting").seed for _ in range(3)}
        assert len(drawn) == 3
        assert rounds.create(ada, "fingerprinting", seed=5).seed == 5


class TestByNumber:
    def test_no_number_means_the_current_round(self, ada):
        make_round()
        second = make_round()
        rounds.make_current(ada, second)
        assert rounds.by_number(None) is second
        assert rounds.by_number(1).number == 1

    @pytest.mark.parametrize("number", [None, 7])
    def test_a_round_that_does_not_exist_is_not_found(self, app, number):
        with pytest.raises(NotFound):
            rounds.by_number(number)


class TestEdit:
    def test_before_it_opens_everything_can_change(self, ada):
        row = make_round()
        rounds.edit(ada, row, "New title", {**SMALL, "NB_CLASSES": 6}, {"scoring": "classic"})
        assert (row.title, row.track_settings["NB_CLASSES"]) == ("New title", 6)

    def test_once_open_only_the_title_can(self, ada):
        row = make_round("defence")
        rounds.edit(ada, row, "New title", row.track_settings, row.rules)
        assert row.title == "New title"
        with pytest.raises(Conflict, match="frozen"):
            rounds.edit(ada, row, "Newer", {**row.track_settings, "NB_CLASSES": 6}, row.rules)

    def test_they_stay_frozen_after_it_closes(self, ada):
        row = make_round("defence")
        rounds.set_phase(ada, row, Phase.NONE)
        with pytest.raises(Conflict, match="frozen"):
            rounds.edit(ada, row, "", row.track_settings, {**row.rules, "scoring": "classic"})


class TestPhases:
    def test_setting_one_holds_at_once_and_for_every_process(self, ada):
        row = make_round()
        rounds.set_phase(ada, row, Phase.DEFENCE)
        db.session.expire_all()
        assert phase(row) is Phase.DEFENCE
        assert row.opened_at is not None

    def test_a_scheduled_one_holds_from_its_moment_on(self, ada):
        row = make_round()
        at = now() + HOUR
        rounds.schedule(ada, row, Phase.DEFENCE, at)
        table = rounds.phase(row)
        assert (table.phase, table.next_phase, table.next_change) == (Phase.NONE, Phase.DEFENCE, at)
        assert rounds.phase(row, at).phase is Phase.DEFENCE
        assert not rounds.is_open(row)

    def test_the_past_cannot_be_scheduled(self, ada):
        with pytest.raises(Conflict, match="past"):
            rounds.schedule(ada, make_round(), Phase.DEFENCE, now() - HOUR)

    def test_a_schedule_can_be_taken_back(self, ada):
        row = make_round()
        rounds.schedule(ada, row, Phase.DEFENCE, now() + HOUR)
        rounds.unschedule(ada, row, row.changes[0].id)
        assert row.changes == []
        assert row.opened_at is None

    def test_what_has_happened_cannot_be_taken_back(self, ada):
        row = make_round("defence")
        with pytest.raises(Conflict, match="happened already"):
            rounds.unschedule(ada, row, row.changes[0].id)

    def test_changes_are_in_the_audit_log(self, ada):
        row = make_round()
        rounds.set_phase(ada, row, Phase.BOTH)
        entry = db.session.scalar(db.select(AuditEntry).where(AuditEntry.action == "round.phase"))
        assert (entry.actor_id, entry.details["phase"]) == (ada.id, "both")


class TestAnnounce:
    @pytest.fixture
    def alice(self, app):
        user = make_user("alice")
        make_team("Red", user)
        make_user("mallory")
        return user

    def subjects(self):
        return db.session.scalars(db.select(Mail.subject)).all()

    def test_everybody_in_a_team_is_told_once(self, ada, alice):
        row = make_round()
        rounds.set_phase(ada, row, Phase.DEFENCE)
        rounds.announce()
        (mail,) = db.session.scalars(db.select(Mail))
        assert (mail.recipient, mail.subject) == (alice.email, "Round 1: Defence phase")

    def test_closing_is_not_announced(self, ada, alice):
        rounds.set_phase(ada, make_round("defence"), Phase.NONE)
        assert self.subjects() == []

    def test_a_phase_that_has_been_overtaken_is_not_announced(self, ada, alice):
        row = make_round()
        for minutes, target in ((10, Phase.DEFENCE), (5, Phase.ATTACK)):
            rounds._change(ada, row, target, now() - timedelta(minutes=minutes))
        rounds.announce()
        assert self.subjects() == ["Round 1: Attack phase"]

    def test_a_scheduled_phase_waits_for_its_moment(self, ada, alice):
        rounds.schedule(ada, make_round(), Phase.DEFENCE, now() + HOUR)
        rounds.announce()
        assert self.subjects() == []


class TestCurrent:
    def test_there_is_exactly_one(self, ada):
        first, second = make_round(), make_round()
        rounds.make_current(ada, second)
        assert rounds.current() is second
        assert not first.is_current


class TestFreeze:
    def test_the_board_freezes_and_thaws(self, ada):
        row = make_round()
        rounds.freeze_board(ada, row, True)
        assert row.board_frozen_at is not None
        rounds.freeze_board(ada, row, False)
        assert row.board_frozen_at is None
