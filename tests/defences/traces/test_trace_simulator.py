"""The simulated captures look like real ones and pass the rules of the game."""

import numpy as np
import pytest

from app.defences.traces.simulator import Simulator, simulate
from app.traces import Traces


@pytest.fixture(scope="module")
def simulated():
    return simulate(100, (30, 36), np.random.default_rng(1))


def medians(traces: Traces):
    start = traces.offset[:-1]
    incoming = np.add.reduceat(np.maximum(-traces.size, 0), start)
    outgoing = np.add.reduceat(np.maximum(traces.size, 0), start)
    return [float(np.median(v)) for v in (incoming, outgoing, np.maximum.reduceat(traces.time, start), traces.length)]


class TestSimulate:
    def test_every_cell_has_captures_within_the_bounds(self, simulated):
        _, cell, _ = simulated
        count = np.bincount(cell)
        assert count[0] == 0
        assert len(count) == 101
        assert count[1:].min() >= 30
        assert count[1:].max() <= 36

    def test_a_repetition_is_unique_within_its_cell(self, simulated):
        _, cell, rep = simulated
        assert len(set(zip(cell.tolist(), rep.tolist(), strict=True))) == len(cell)

    def test_types_are_those_of_the_interface(self, simulated):
        traces, cell, rep = simulated
        assert (cell.dtype, rep.dtype) == (np.int32, np.int64)
        assert (traces.size.dtype, traces.time.dtype, traces.offset.dtype) == (np.int32, np.float64, np.int64)

    def test_captures_pass_the_rules(self, simulated):
        traces, _, _ = simulated
        start = traces.offset[:-1]
        assert np.isfinite(traces.time).all()
        assert traces.time.min() >= 0
        assert (traces.time[start] <= 1).all()
        assert traces.length.min() >= 6
        assert (np.maximum.reduceat(traces.size, start) > 0).all()
        assert (np.minimum.reduceat(traces.size, start) < 0).all()
        assert np.abs(traces.size).max() <= 4420

    def test_medians_are_near_those_of_real_captures(self, simulated):
        real = [439_574, 26_886, 12.49, 425]
        assert medians(simulated[0]) == pytest.approx(real, rel=0.25)

    def test_a_few_packets_are_out_of_order(self, simulated):
        traces, _, _ = simulated
        falls = (np.diff(traces.time) < 0) & (np.diff(traces.owner) == 0)
        assert 0 < falls.sum() < 100

    def test_captures_of_a_cell_resemble_each_other_but_are_not_equal(self, simulated):
        traces, cell, _ = simulated
        volume = np.log(np.add.reduceat(np.maximum(-traces.size, 1), traces.offset[:-1]))
        centres = np.array([np.median(volume[cell == k]) for k in range(1, 101)])
        within = np.median([np.median(np.abs(volume[cell == k] - centres[k - 1])) for k in range(1, 101)])
        assert 0.005 < within < 0.1
        assert centres.std() > 5 * within

    def test_the_same_seed_gives_the_same_captures(self):
        one, two = (simulate(3, 4, np.random.default_rng(5)) for _ in range(2))
        assert np.array_equal(one[0].size, two[0].size)
        assert np.array_equal(one[0].time, two[0].time)

    def test_days_are_in_the_repetition_and_ascend(self):
        _, cell, rep = simulate(2, 10, np.random.default_rng(5), days=5)
        assert set((rep // 1000).tolist()) == {1, 2, 3, 4, 5}
        assert (np.diff(rep[cell == 1]) > 0).all()

    def test_the_smallest_competition_works(self):
        traces, cell, rep = simulate(1, 1, np.random.default_rng(0), days=1)
        assert (len(traces), cell.tolist(), rep.tolist()) == (1, [1], [1001])

    def test_no_noise_makes_captures_of_a_cell_ask_for_the_same(self):
        calm = Simulator(swaps=0, missing=0, size_noise=0, truncated=0, loss=0)
        traces, _, _ = simulate(1, 5, np.random.default_rng(2), simulator=calm)
        outgoing = np.add.reduceat(np.maximum(traces.size, 0), traces.offset[:-1])
        assert len(set(outgoing.tolist())) == 1
