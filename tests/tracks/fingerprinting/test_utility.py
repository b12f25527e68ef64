import math

import numpy as np
import pytest

from app.traces import Traces
from app.tracks.fingerprinting.utility import classic, costs, median, utility


@pytest.fixture
def traces():
    return Traces.from_captures(
        [np.array([100, -200, 50, -1000]), np.array([10, -20, -30]), np.array([7, 8, -9])],
        [np.array([0.0, 1.0, 0.5, 4.0]), np.array([5.0, 5.5, 5.25]), np.array([0.0, 1.0, 2.0])],
    )


class TestCosts:
    def test_they_are_bytes_each_way_and_seconds_from_first_to_last(self, traces):
        cost = costs(traces)

        assert cost.bytes_in.tolist() == [1200, 50, 9]
        assert cost.bytes_out.tolist() == [150, 10, 15]
        assert cost.duration.tolist() == [4.0, 0.5, 2.0]

    def test_they_agree_with_a_loop_over_captures(self):
        rng = np.random.default_rng(0)
        sizes = [rng.integers(-1500, 1500, rng.integers(1, 50)) for _ in range(40)]
        times = [rng.uniform(0, 9, len(size)) for size in sizes]

        cost = costs(Traces.from_captures(sizes, times))

        assert cost.bytes_in.tolist() == [-size[size < 0].sum() for size in sizes]
        assert cost.bytes_out.tolist() == [size[size > 0].sum() for size in sizes]
        assert np.allclose(cost.duration, [np.ptp(time) for time in times])

    def test_an_empty_capture_costs_nothing_and_hurts_no_neighbour(self):
        empty = np.empty(0)
        cost = costs(Traces.from_captures([empty, np.array([5, -6]), empty], [empty, np.array([1.0, 3.0]), empty]))

        assert cost.bytes_in.tolist() == [0, 6, 0]
        assert cost.duration.tolist() == [0, 2, 0]


class TestUtility:
    def test_it_names_nine_costs_and_their_medians_are_right(self, traces):
        metrics = utility(traces).metrics

        assert metrics["max_bytes_in"].value == 1200
        assert metrics["mean_duration"].value == pytest.approx(6.5 / 3)
        assert metrics["median_bytes_out"].value == 15
        for name in ("bytes_in", "bytes_out", "duration"):
            assert {f"max_{name}", f"mean_{name}", f"median_{name}"} <= metrics.keys()

    def test_without_a_reference_it_is_a_tenth_of_the_classic_score(self, traces):
        score = utility(traces)

        assert score.metrics["classic_score"].value == classic(50, 15, 2.0)
        assert score.value == pytest.approx(score.metrics["classic_score"].value / 10)

    def test_the_reference_itself_is_worth_one(self, traces):
        reference = {name: estimate.value for name, estimate in utility(traces).metrics.items()}

        assert utility(traces, reference).value == 1.0

    def test_twice_the_bytes_and_twice_the_time_are_worth_a_half(self, traces):
        reference = {name: estimate.value for name, estimate in utility(traces).metrics.items()}
        dear = Traces(traces.offset, traces.size * 2, traces.time * 2)

        score = utility(dear, reference)

        assert score.value == pytest.approx(0.5)
        assert score.metrics["bandwidth_share"].value == pytest.approx(0.5)

    def test_compressed_time_is_worth_no_more_than_the_reference(self, traces):
        reference = {name: estimate.value for name, estimate in utility(traces).metrics.items()}
        squeezed = Traces(traces.offset, traces.size, traces.time * 1e-6)

        assert utility(squeezed, reference).value == 1.0

    @pytest.mark.parametrize("sizes", [[0] * 6, [5] * 6, [-5] * 6, [2**30] * 6, [-(2**30), 2**30] * 3])
    @pytest.mark.parametrize("scale", [0.0, 1e-9, 1e9])
    @pytest.mark.parametrize("reference", [None, {"median_bytes": 0.0, "median_duration": 0.0}])
    def test_extreme_captures_stay_finite(self, sizes, scale, reference):
        times = np.arange(6) * scale
        score = utility(Traces.from_captures([np.array(sizes)] * 3, [times] * 3), reference)

        assert 0.0 <= score.value <= 1.0
        assert all(math.isfinite(estimate.value) for estimate in score.metrics.values())

    def test_no_capture_at_all_stays_finite(self):
        assert 0.0 <= utility(Traces.from_captures([], [])).value <= 1.0


class TestClassic:
    def test_it_is_the_predecessors_formula_on_its_own_captures(self):
        assert classic(439_574, 26_886, 12.49) == pytest.approx(64 / math.log10(439_574 * 26_886 * 12.49))

    @pytest.mark.parametrize("medians", [(1, 1, 1), (1, 1, 0.5), (0, 5, 5), (1, 1, 1 + 1e-12), (1e300, 1e300, 1e300)])
    def test_it_is_bounded_where_the_formula_is_not(self, medians):
        assert 0.0 <= classic(*medians) <= 10.0

    def test_it_falls_as_costs_grow(self):
        scores = [classic(bytes_in, 1e4, 10) for bytes_in in np.logspace(0, 8, 30)]

        assert scores == sorted(scores, reverse=True)


class TestMedian:
    def test_its_interval_covers_the_true_median_19_times_of_20(self):
        rng = np.random.default_rng(1)
        estimates = [median(rng.exponential(size=101)) for _ in range(1000)]

        covered = np.mean([each.low <= math.log(2) <= each.high for each in estimates])

        assert 0.94 <= covered <= 0.98

    def test_one_value_is_its_own_interval(self):
        assert (median(np.array([3.0])).low, median(np.array([3.0])).high) == (3.0, 3.0)
