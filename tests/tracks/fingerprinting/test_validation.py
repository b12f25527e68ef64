from dataclasses import replace

import numpy as np
import pytest

from app.traces import Traces
from app.tracks.fingerprinting import validation
from app.tracks.fingerprinting.captures import Captures, group
from app.tracks.fingerprinting.settings import Settings
from tests.forged import SETTINGS

SIZE = np.array([500, -1400, 600, -1400, -1400, -900], np.int32)
TIME = np.arange(6) / 10


def captures(reps=(3, 3, 3, 3), size=SIZE, time=TIME, cells=None):
    """One equal capture for each repetition of each cell."""
    cell = np.repeat(cells or np.arange(1, len(reps) + 1), reps).astype(np.int32)
    rep = np.concatenate([np.arange(count) for count in reps])
    traces = Traces.from_captures([size] * len(cell), [time] * len(cell))
    return Captures(cell, rep, traces, lambda packets: packets + 2)


def changed(capture=4, **values):
    """Valid captures of which one has other sizes or times."""
    good = captures()
    sizes = [values.get("size", SIZE) if one == capture else SIZE for one in range(len(good))]
    times = [values.get("time", TIME) if one == capture else TIME for one in range(len(good))]
    return replace(good, traces=Traces.from_captures(sizes, times))


def check(found, settings=SETTINGS):
    return validation.check(found, settings)


class TestCheck:
    def test_a_valid_defence_has_no_reasons(self):
        assert check(captures()) == []

    def test_every_fault_is_told_at_once(self):
        found = captures(reps=(3, 2, 3, 9), cells=[1, 2, 3, 5])
        time = found.traces.time.copy()
        time[0] = np.nan
        found.traces.size[7] = 0
        rules = [reason.rule for reason in check(replace(found, traces=replace(found.traces, time=time)))]
        assert rules == [
            "The cells are exactly 1 to 4.",
            "The cells are exactly 1 to 4.",
            "Every cell has between 3 and 5 repetitions.",
            "No packet has the size 0.",
            "Every timestamp is a finite number.",
        ]

    def test_every_reason_says_what_to_do(self):
        found = captures(reps=(1, 9), size=np.array([0, 70_000], np.int32), time=np.array([-1.0, 9000.0]))
        assert all(reason.fix and reason.where and reason.count for reason in check(found))


class TestCells:
    def test_missing_and_other_cells_are_listed(self):
        settings = replace(SETTINGS, NB_CLASSES=9, NB_TRACES_TO_CLASSIFY=9)
        missing, other = check(captures(cells=[0, 2, 3, 12]), settings)[:2]
        assert missing.where == "missing: 1, 4-9"
        assert missing.count == 7
        assert other.where == "other cells: 0, 12 (line 2, line 56)"

    def test_many_ranges_are_cut(self):
        settings = replace(SETTINGS, NB_CLASSES=40, NB_TRACES_TO_CLASSIFY=40)
        found = captures(reps=(3,) * 20, cells=list(range(2, 41, 2)))
        assert check(found, settings)[0].where == "missing: 1, 3, 5, 7, 9, …"


class TestRepetitions:
    @pytest.mark.parametrize(("count", "accepted"), [(25, False), (26, True), (38, True), (39, False)])
    def test_the_message_and_the_check_agree_on_the_bounds(self, count, accepted):
        reasons = check(captures(reps=(count,) * 100), Settings())
        assert (reasons == []) == accepted
        assert validation.repetitions_allowed(Settings()) == (26, 38)
        if not accepted:
            assert reasons[0].rule == "Every cell has between 26 and 38 repetitions."
            assert reasons[0].where.startswith(f"cell 1 has {count}, cell 2 has {count}")
            assert reasons[0].count == 100


class TestPackets:
    def test_a_capture_needs_more_packets_than_the_setting(self):
        (reason,) = check(captures(), replace(SETTINGS, ROWS_PER_CAPTURE=6))
        assert reason.rule == "Every capture has at least 7 packets."
        assert reason.where.startswith("cell 1 rep 0: 6 packets")
        assert check(captures(), replace(SETTINGS, ROWS_PER_CAPTURE=5)) == []

    @pytest.mark.parametrize("size", [65_535, -65_535, 1])
    def test_sizes_up_to_an_ip_packet_are_fine(self, size):
        assert check(changed(size=np.r_[size, 5, -5, 5, -5, 5].astype(np.int32))) == []

    @pytest.mark.parametrize("size", [65_536, -65_536, -(2**31)])
    def test_larger_sizes_are_refused_with_line_and_value(self, size):
        (reason,) = check(changed(size=np.r_[SIZE[:5], size].astype(np.int32)))
        assert "65,535" in reason.rule
        assert reason.where == f"line 31: {size}"

    def test_without_lines_places_are_told_by_capture(self):
        found = changed(size=np.r_[SIZE[:5], 0].astype(np.int32))
        (reason,) = check(replace(found, line_of=None))
        assert reason.where == "cell 2 rep 1 packet 6"

    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_capture_has_both_directions(self, sign):
        (reason,) = check(changed(size=sign * np.abs(SIZE)))
        assert "both directions" in reason.rule
        assert "cell 2 rep 1" in reason.where


class TestTimes:
    def test_packets_out_of_order_are_normal(self):
        assert check(changed(time=np.array([0, 0.3, 0.2, 0.4, 0.39, 0.5]))) == []

    @pytest.mark.parametrize("start", [1.0, 0.0])
    def test_a_capture_may_begin_within_a_second(self, start):
        assert check(changed(time=TIME + start)) == []

    def test_a_late_start_is_refused(self):
        (reason,) = check(changed(time=TIME + 1.1))
        assert reason.where == "cell 2 rep 1: 1.1 s"

    def test_an_hour_is_the_longest(self):
        assert check(changed(time=TIME * 7200)) == []
        (reason,) = check(changed(time=TIME * 7201))
        assert "at most 3,600 s" in reason.rule

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_only_finite_times_are_judged_further(self, bad):
        time = TIME.copy()
        time[3] = bad
        reasons = check(changed(time=time))
        assert reasons[0].rule == "Every timestamp is a finite number."
        assert reasons[0].where == f"line 29: {bad:g}"

    def test_scaled_times_are_refused_with_the_shortest_possible_duration(self):
        (reason,) = check(changed(time=TIME * 1e-6))
        assert "125 MB/s" in reason.rule
        assert "its bytes / 125,000,000 seconds" in reason.rule
        assert reason.where == "cell 2 rep 1: 6,200 bytes in 5e-07 s, not 4.96e-05 s"

    def test_captures_without_any_time_are_refused(self):
        assert "125 MB/s" in check(captures(time=np.zeros(6)))[0].rule

    def test_a_gigabit_is_fast_enough_for_everybody(self):
        volume = np.abs(SIZE).sum()
        assert check(changed(time=np.linspace(0, 1.01 * volume / 125e6, 6))) == []


class TestGroup:
    def test_sorted_rows_are_not_copied(self):
        size, time = SIZE.copy(), TIME.copy()
        found = group(np.ones(6, np.int32), np.repeat([1, 2], 3), size, time, lambda rows: rows)
        assert found.traces.size is size
        assert found.traces.offset.tolist() == [0, 3, 6]

    def test_scattered_rows_are_sorted_stably(self):
        cell, rep = np.array([2, 1, 2, 1, 2, 1], np.int32), np.array([1, 5, 1, 4, 1, 5])
        found = group(cell, rep, np.arange(6, dtype=np.int32), TIME, lambda rows: rows * 10)
        assert found.cell.tolist() == [1, 1, 2]
        assert found.rep.tolist() == [4, 5, 1]
        assert found.traces.size.tolist() == [3, 1, 5, 0, 2, 4]
        assert found.traces.offset.tolist() == [0, 1, 3, 6]
        assert found.line_of(np.array([0, 5])).tolist() == [30, 40]
