from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from app.rules.phases import Phase, timetable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Change:
    at: datetime
    phase: Phase


class TestTimetable:
    def test_a_round_without_changes_is_closed(self):
        table = timetable([], NOON)

        assert (table.phase, table.since, table.next_change) == (Phase.NONE, None, None)

    def test_the_latest_change_that_is_not_in_the_future_holds(self):
        changes = [Change(NOON + HOUR, Phase.ATTACK), Change(NOON - HOUR, Phase.DEFENCE)]

        table = timetable(changes, NOON)

        assert (table.phase, table.since) == (Phase.DEFENCE, NOON - HOUR)
        assert (table.next_phase, table.next_change) == (Phase.ATTACK, NOON + HOUR)

    def test_a_change_holds_from_its_very_moment_on(self):
        assert timetable([Change(NOON, Phase.BOTH)], NOON).phase is Phase.BOTH
        assert timetable([Change(NOON, Phase.BOTH)], NOON - timedelta(microseconds=1)).phase is Phase.NONE

    def test_of_two_changes_at_one_moment_the_last_given_holds(self):
        assert timetable([Change(NOON, Phase.DEFENCE), Change(NOON, Phase.NONE)], NOON).phase is Phase.NONE


class TestPhase:
    @pytest.mark.parametrize(
        ("phase", "defence", "attack"),
        [
            (Phase.NONE, False, False),
            (Phase.DEFENCE, True, False),
            (Phase.ATTACK, False, True),
            (Phase.BOTH, True, True),
            (Phase.FINISHED, False, False),
        ],
    )
    def test_says_what_may_be_uploaded(self, phase, defence, attack):
        assert (phase.defence_open, phase.attack_open) == (defence, attack)
        assert phase.label
