"""What a protection costs."""

import numpy as np
import pytest

from app.defences.traces.overhead import durations, overhead
from app.traces import Traces


def traces(*captures):
    return Traces.from_captures(
        [np.array(size) for size, _ in captures], [np.array(time, float) for _, time in captures]
    )


class TestOverhead:
    def test_nothing_changed_costs_nothing(self):
        same = traces(([100, -300], [0, 2]), ([50, -50], [0, 1]))
        assert overhead(same, same).bandwidth == 0
        assert overhead(same, same).latency == 0

    def test_bandwidth_is_the_relative_growth_of_all_bytes(self):
        before, after = traces(([100, -300], [0, 2])), traces(([100, -300, -400], [0, 1, 3]))
        assert overhead(before, after).bandwidth == pytest.approx(1.0)
        assert overhead(before, after).latency == pytest.approx(0.5)

    def test_one_endless_capture_does_not_move_the_latency(self):
        before = traces(*[([1, -1], [0, 2])] * 3)
        after = traces(*[([1, -1], [0, 3])] * 2, ([1, -1], [0, 1e6]))
        assert overhead(before, after).latency == pytest.approx(0.5)

    def test_a_capture_without_length_cannot_grow_finitely(self):
        before, after = traces(([5], [0])), traces(([5, -5], [0, 1]))
        assert overhead(before, after).latency == float("inf")
        assert overhead(before, before).latency == 0

    def test_it_refuses_different_captures(self):
        with pytest.raises(ValueError, match="same captures"):
            overhead(traces(([5], [0])), traces(([5], [0]), ([5], [0])))

    def test_durations_do_not_depend_on_the_clock(self):
        assert durations(traces(([1, -1, 1], [7, 9, 8.5]))).tolist() == [2]
