"""What every protection of packet traces promises, and what each one does on its own."""

import numpy as np
import pytest

from app.defences.traces import DEFENCES, BurstPadding, Front, RegulaTor, Tamaraw, WalkieTalkie, WTFPad
from app.defences.traces.packets import CELL, MTU, served, settled
from app.defences.traces.simulator import simulate
from app.defences.traces.tamaraw import slots_needed
from app.defences.traces.walkie_talkie import decoys_of, turns_of
from app.parameters import describe
from app.traces import Traces

NAMES = list(DEFENCES)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def captures():
    traces, cell, _ = simulate(8, 6, rng(3))
    return traces, cell


def odd_captures():
    """One packet; one direction each; negative gaps; equal times; a late clock; a sparse one."""
    sizes = [
        [600],
        [-600],
        [4420, 60, 576],
        [-1500] * 9,
        [576, -1500, -1500, 576, -40],
        [1, -1],
        [576, -576, 576, -576],
    ]
    times = [
        [0],
        [0],
        [0, 1, 2],
        np.zeros(9),
        [0, 0.5, 0.497, 0.498, 30],
        [1e6, 1e6 + 3],
        [0, 0.2, 90, 90.1],
    ]
    return Traces.from_captures([np.array(size) for size in sizes], [np.array(time, float) for time in times])


def volume(traces, direction):
    """(n,) bytes of one direction."""
    signed = np.maximum(traces.size.astype(np.int64) * direction, 0)
    return np.add.reduceat(signed, traces.offset[:-1])


def duration(traces):
    return np.maximum.reduceat(traces.time, traces.offset[:-1])


def falls(traces):
    """How many packets are earlier than the one in front of them in their capture."""
    return int(((np.diff(traces.time) < 0) & (np.diff(traces.owner) == 0)).sum())


def contains(after, before):
    """Whether capture `after` holds every packet of `before` with its size and time, as often."""
    left = np.unique(np.stack([after[0], after[1]], axis=1), axis=0, return_counts=True)
    table = dict(zip(map(tuple, left[0]), left[1], strict=True))
    wanted = np.unique(np.stack([before[0], before[1]], axis=1), axis=0, return_counts=True)
    return all(table.get(tuple(row), 0) >= count for row, count in zip(*wanted, strict=True))


@pytest.mark.parametrize("name", NAMES)
class TestEveryDefence:
    def test_it_loses_no_byte_in_either_direction(self, name, captures):
        before, labels = captures
        after = DEFENCES[name]().protect(before, labels, rng())
        assert (volume(after, 1) >= volume(before, 1)).all()
        assert (volume(after, -1) >= volume(before, -1)).all()

    def test_it_ends_no_earlier_than_the_real_capture(self, name, captures):
        before, labels = captures
        after = DEFENCES[name]().protect(before, labels, rng())
        assert (duration(after) >= duration(settled(before)) - 1e-6).all()

    def test_its_captures_begin_near_zero_and_never_go_back_in_time(self, name, captures):
        after = DEFENCES[name]().protect(*captures, rng())
        first = after.time[after.offset[:-1]]
        assert (after.time >= 0).all()
        assert first.max() <= 1
        assert falls(after) == 0

    def test_its_sizes_are_those_of_packets(self, name, captures):
        after = DEFENCES[name]().protect(*captures, rng())
        assert after.size.dtype == np.int32
        assert after.time.dtype == np.float64
        assert after.offset.dtype == np.int64
        assert (after.size != 0).all()
        assert np.abs(after.size).max() <= 4420

    def test_it_copes_with_odd_captures(self, name):
        before = odd_captures()
        after = DEFENCES[name]().protect(before, np.arange(len(before), dtype=np.int32), rng())
        assert len(after) == len(before)
        assert (volume(after, 1) >= np.maximum(volume(before, 1), 1)).all()
        assert (volume(after, -1) >= np.maximum(volume(before, -1), 1)).all()
        assert falls(after) == 0
        assert np.isfinite(after.time).all()

    def test_it_copes_with_a_huge_capture(self, name):
        size = np.where(np.arange(34_992) % 50 == 0, 576, -1500).astype(np.int32)
        before = Traces(np.array([0, 34_992]), size, np.sort(rng().uniform(0, 190, 34_992)))
        after = DEFENCES[name]().protect(before, np.zeros(1, np.int32), rng())
        assert volume(after, -1)[0] >= volume(before, -1)[0]
        assert duration(after)[0] >= duration(settled(before))[0] - 1e-6

    def test_the_same_seed_gives_the_same_captures(self, name, captures):
        one, two = (DEFENCES[name]().protect(*captures, rng(7)) for _ in range(2))
        assert np.array_equal(one.size, two.size)
        assert np.array_equal(one.time, two.time)

    def test_it_leaves_its_input_alone(self, name, captures):
        before, labels = captures
        size, time = before.size.copy(), before.time.copy()
        DEFENCES[name]().protect(before, labels, rng())
        assert np.array_equal(before.size, size)
        assert np.array_equal(before.time, time)

    def test_no_captures_stay_no_captures(self, name):
        none = Traces.from_captures([], [])
        assert len(DEFENCES[name]().protect(none, np.empty(0, np.int32), rng())) == 0

    def test_it_refuses_an_empty_capture(self, name):
        empty = Traces(np.array([0, 1, 1]), np.array([5], np.int32), np.zeros(1))
        with pytest.raises(ValueError, match="at least one packet"):
            DEFENCES[name]().protect(empty, np.zeros(2, np.int32), rng())

    def test_it_refuses_labels_that_do_not_match(self, name, captures):
        with pytest.raises(ValueError, match="one label per capture"):
            DEFENCES[name]().protect(captures[0], captures[1][1:], rng())

    def test_it_refuses_a_capture_of_days(self, name):
        endless = Traces.from_captures([np.array([5, -5])], [np.array([0, 1e6])])
        with pytest.raises(ValueError, match="too long"):
            DEFENCES[name]().protect(endless, np.zeros(1, np.int32), rng())

    def test_it_describes_itself(self, name):
        assert DEFENCES[name].title
        assert "variant" in DEFENCES[name].source
        assert all(parameter.help for parameter in describe(DEFENCES[name]))


@pytest.mark.parametrize("name", ["front", "wtf-pad"])
class TestDefencesThatOnlyAdd:
    def test_every_real_packet_keeps_its_size_and_time(self, name, captures):
        before, labels = captures
        after, real = DEFENCES[name]().protect(before, labels, rng()), settled(before)
        assert all(contains(after.capture(i), real.capture(i)) for i in range(len(before)))


class TestBurstPadding:
    def test_every_burst_has_a_power_of_two_packets_of_full_size(self):
        before = Traces.from_captures([np.array([576, -800, -1500, -90, 576, 576, -576])], [np.arange(7) / 10])
        after = BurstPadding().protect(before, np.zeros(1, np.int32), rng())
        assert after.size.tolist() == [576, -MTU, -MTU, -MTU, -MTU, 576, 576, -MTU]

    def test_dummies_stay_before_the_next_burst(self):
        before = Traces.from_captures([np.array([-1, -1, -1, 576, -1])], [np.array([0, 0, 0, 1e-5, 1])])
        after = BurstPadding().protect(before, np.zeros(1, np.int32), rng())
        assert np.sign(after.size).tolist() == [-1, -1, -1, -1, 1, -1]

    def test_outgoing_packets_are_filled_up_to_whole_cells(self):
        before = Traces.from_captures([np.array([60, 577, 1090, 4420, -5])], [np.arange(5.0)])
        after = BurstPadding(base=64).protect(before, np.zeros(1, np.int32), rng())
        assert after.size[:4].tolist() == [CELL, 1090, 1090, 4420]


class TestFront:
    def test_a_side_adds_at_most_its_budget_and_nothing_after_the_end(self, captures):
        before, labels = captures
        after = Front(client_budget=5, server_budget=9).protect(before, labels, rng())
        assert (after.length - before.length <= 14).all()
        assert duration(after) == pytest.approx(duration(settled(before)))


class TestWTFPad:
    def test_ends_that_always_sleep_add_nothing(self, captures):
        before, labels = captures
        after = WTFPad(client_sleep=1, server_sleep=1).protect(before, labels, rng())
        assert np.array_equal(after.size, before.size)

    def test_dummies_fill_gaps(self):
        before = Traces.from_captures([np.array([576, -576, 576])], [np.array([0, 5, 10.0])])
        after = WTFPad(server_sleep=0, client_sleep=0, server_run=50, client_run=50).protect(
            before, np.zeros(1, np.int32), rng()
        )
        assert np.diff(after.time).max() < 5

    def test_a_timer_has_the_median_of_its_histogram(self):
        timers = WTFPad().timers(0.02, 20_000, rng())
        assert np.median(timers) == pytest.approx(0.02, rel=0.1)
        assert timers.min() > 0


class TestRegulaTor:
    def test_every_byte_leaves_after_it_came_and_all_leave(self):
        time = np.sort(rng().exponential(0.02, 500).cumsum() + rng(1).uniform(0, 3, 500))
        volume = rng(2).integers(40, 1501, 500)
        slots, out = RegulaTor().schedule(volume, time)
        came = np.append(0, np.cumsum(volume))[np.searchsorted(time, slots, "right")]
        assert (out <= came).all()
        assert out[-1] == volume.sum()
        assert (np.diff(slots) > 0).all()

    def test_it_serves_like_a_queue_that_is_walked_through_packet_by_packet(self):
        defence = RegulaTor(surge_rate=20, threshold=1.5)
        time = np.concatenate([np.linspace(0, 0.2, 100), [9, 9.1], np.full(90, 12.0)])
        volume = np.full(len(time), MTU)
        slots, out = defence.schedule(volume, time)
        walked = 0
        for slot, expected in zip(slots, out, strict=True):
            came = int((time <= slot).sum()) * MTU
            walked = min(walked + MTU, came)
            assert walked == expected

    def test_a_crowded_queue_begins_a_new_surge(self):
        time = np.concatenate([[0.0], np.full(400, 20.0)])
        slots, _ = RegulaTor(surge_rate=50, threshold=1).schedule(np.full(401, MTU), time)
        before, after = slots[slots < 20], slots[slots > 20.5]
        assert 1 / np.diff(before)[-5:].mean() < 20
        assert 1 / np.diff(after)[:5].mean() == pytest.approx(50, rel=0.05)

    def test_an_upload_waits_no_longer_than_the_cap(self):
        size = np.array([576, -1500, 576], np.int32)
        before = Traces.from_captures([size], [np.array([0, 0.1, 50])])
        after = RegulaTor(delay_cap=0.5).protect(before, np.zeros(1, np.int32), rng())
        assert after.time[after.size > 0].max() == pytest.approx(50.5)


class TestWalkieTalkie:
    def test_requests_during_a_download_wait_for_the_next_turn(self):
        size = np.array([576, -1500, 576, -1500, 576, -1500], np.int32)
        traces = Traces.from_captures([size], [np.array([0, 0.5, 0.501, 0.502, 2, 2.5])])
        turns = turns_of(traces, 0.1, 0.25)
        assert turns.talks.tolist() == [1, 2]
        assert turns.listens.tolist() == [2, 1]
        assert turns.ready.tolist() == [0, 2]

    def test_a_burst_is_as_large_as_the_larger_of_real_and_decoy(self):
        small, large = np.array([576, -1500], np.int32), np.array([576, 576, -1500, -1500, -1500], np.int32)
        traces = Traces.from_captures([small, large], [np.array([0, 1.0]), np.array([0, 0, 1, 1, 1.0])])
        after = WalkieTalkie().protect(traces, np.array([1, 2], np.int32), rng())
        assert after.capture(0)[0].tolist() == [576, 576, -1500, -1500, -1500]
        assert after.capture(1)[0].tolist() == [576, 576, -1500, -1500, -1500]

    def test_decoys_are_of_other_cells(self):
        labels = rng().integers(1, 5, 200).astype(np.int32)
        decoys = decoys_of(labels, rng(1))
        assert (labels[decoys] != labels).all()
        assert len(np.unique(decoys)) > 50

    def test_one_cell_alone_is_its_own_decoy(self):
        assert (decoys_of(np.ones(3, np.int32), rng()) < 3).all()

    def test_a_burst_begins_when_its_last_real_byte_is_there(self, captures):
        defence = WalkieTalkie()
        for index in range(0, len(captures[0]), 5):
            real = settled(captures[0].take(np.array([index])))
            turns = turns_of(real, defence.silence, defence.round_trip)
            after = defence.protect(real, np.ones(1, np.int32), rng())
            outs, ins = after.time[after.size > 0], after.time[after.size < 0]
            # Its own decoy adds nothing, so the packets of each turn can be counted off.
            assert (outs[np.cumsum(turns.talks) - turns.talks] >= turns.ready - 1e-9).all()
            assert (ins[np.cumsum(turns.listens) - turns.listens] >= turns.ready + turns.answer - 1e-9).all()
            assert ((np.diff(np.sign(after.size)) != 0).sum() + 1) == 2 * len(turns.talks)


class TestTamaraw:
    def test_it_sends_one_size_at_two_rates_in_whole_multiples(self, captures):
        defence = Tamaraw(multiple=50)
        after = defence.protect(*captures, rng())
        assert set(np.unique(after.size)) == {-750, 750}
        for index in range(len(after)):
            size, time = after.capture(index)
            for direction, gap in ((1, defence.out_gap), (-1, defence.in_gap)):
                chosen = time[size * direction > 0]
                assert len(chosen) % 50 == 0
                assert np.diff(chosen) == pytest.approx(gap)

    def test_captures_that_end_in_the_same_slot_look_the_same(self):
        sizes = [np.array([576, -1500, -40], np.int32), np.array([-300, 4420, -1500, -1500], np.int32)]
        traces = Traces.from_captures(sizes, [np.array([0, 0.3, 0.9]), np.array([0, 0.1, 0.2, 0.5])])
        after = Tamaraw().protect(traces, np.array([1, 2], np.int32), rng())
        one, two = after.capture(0), after.capture(1)
        assert np.array_equal(one[0], two[0])
        assert np.array_equal(one[1], two[1])

    def test_its_slots_are_those_of_a_queue_that_is_walked_through(self):
        size = np.where(rng(4).random(300) < 0.2, 900, -1400).astype(np.int32)
        traces = Traces.from_captures([size], [np.sort(rng(5).uniform(0, 4, 300))])
        for direction, gap in ((1, 0.04), (-1, 0.012)):
            slots = int(slots_needed(traces, direction, 750, gap)[0])
            came = np.maximum(size * direction, 0)
            grid = np.arange(slots) * gap
            arrived = np.append(0, np.cumsum(came))[np.searchsorted(traces.time, grid, "right")]
            out = served(arrived, 750, 0)
            assert (out <= arrived).all()
            assert out[-1] == came.sum()
            assert out[-2] < came.sum()

    def test_it_refuses_captures_of_absurd_length(self):
        traces = Traces.from_captures([np.array([1, -1])], [np.array([0, 86_000.0])])
        with pytest.raises(ValueError, match="too long"):
            Tamaraw(in_gap=0.001, out_gap=0.001).protect(traces, np.ones(1, np.int32), rng())


class TestServed:
    def test_it_is_the_queue_that_a_loop_computes(self):
        arrived = np.cumsum(rng(8).integers(0, 3000, 400))
        before, out, walked = 100, [], 100
        arrived += before
        for total in arrived:
            walked = min(walked + 1500, total)
            out.append(walked)
        assert served(arrived, 1500, before).tolist() == out
