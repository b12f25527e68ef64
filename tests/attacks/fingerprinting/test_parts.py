"""The small parts that the attacks are built from."""

import numpy as np
import torch

from app.attacks.fingerprinting import segments
from app.attacks.fingerprinting.bursts import Bursts
from app.attacks.fingerprinting.cumul import folded
from app.attacks.fingerprinting.deep_fingerprinting import Sequence
from app.attacks.fingerprinting.k_fingerprinting import agreement
from app.attacks.fingerprinting.neighbours import votes
from app.attacks.fingerprinting.scaling import LIMIT, Scaler
from app.attacks.fingerprinting.training import Schedule, shifted
from app.traces import Traces


class TestSegments:
    offset = np.array([0, 0, 3, 3, 5])
    values = np.array([5.0, 1.0, 3.0, 2.0, 4.0])

    def test_empty_rows_are_zero_and_do_not_disturb_their_neighbours(self):
        assert segments.reduced(np.maximum, self.values, self.offset).tolist() == [0, 5, 0, 4]
        assert segments.mean(self.values, self.offset).tolist() == [0, 3, 0, 3]

    def test_values_are_sorted_within_their_row(self):
        np.testing.assert_allclose(segments.ordered(self.values, self.offset), [1, 3, 5, 2, 4])

    def test_quantiles_are_interpolated_as_numpy_does(self):
        found = segments.quantiles(self.values, self.offset, (0.1, 0.5))

        np.testing.assert_allclose(found[1], np.quantile(self.values[:3], (0.1, 0.5)))
        np.testing.assert_allclose(found[3], np.quantile(self.values[3:], (0.1, 0.5)))
        assert found[[0, 2]].tolist() == [[0, 0], [0, 0]]

    def test_nothing_at_all_has_no_quantiles(self):
        assert segments.quantiles(np.empty(0), np.zeros(3, np.int64), (0.5,)).tolist() == [[0], [0]]


class TestBursts:
    def test_they_know_bytes_packets_and_time(self):
        traces = Traces.from_captures(
            [np.array([5, 6, -7, 8]), np.array([9])], [np.array([0.0, 0.1, 0.2, 0.3]), np.array([0.0])]
        )

        bursts = Bursts.of(traces)

        assert bursts.offset.tolist() == [0, 3, 4]
        assert bursts.size.tolist() == [11, -7, 8, 9]
        assert bursts.packets.tolist() == [2, 1, 1, 1]
        assert bursts.time.tolist() == [0.0, 0.2, 0.3, 0.0]

    def test_no_packet_makes_no_burst(self):
        bursts = Bursts.of(Traces.from_captures([], []))

        assert bursts.offset.tolist() == [0]
        assert len(bursts.size) == len(bursts.packets) == len(bursts.time) == 0


class TestScaler:
    def test_one_freak_does_not_flatten_the_others(self):
        X = np.append(np.linspace(0, 1, 99), 1e9)[:, None]

        scaled = Scaler.fitted(X)(X)

        assert np.ptp(scaled[:99]) > 2
        assert scaled[99] == LIMIT

    def test_a_constant_column_stays_finite(self):
        X = np.ones((5, 1))

        assert Scaler.fitted(X)(X).tolist() == [[0.0]] * 5


class TestFolds:
    def test_every_class_is_spread_over_the_folds(self):
        labels = np.repeat(np.arange(5), 6)

        fold = folded(labels, 3, np.random.default_rng(0))

        assert all(np.bincount(fold[labels == label]).tolist() == [2, 2, 2] for label in range(5))


class TestNeighbours:
    def test_the_most_similar_vote_with_their_similarity(self):
        similarity = np.array([[0.9, 0.1, 0.5, 0.4]])

        assert votes(similarity, np.array([1, 0, 0, 0]), 2, 3).tolist() == [[0.9, 0.9]]


class TestAgreement:
    def test_it_is_the_share_of_equal_leaves(self):
        rng = np.random.default_rng(0)
        first, second = rng.integers(0, 5, (7, 30)), rng.integers(0, 5, (9, 30))

        expected = (first[:, None] == second[None]).mean(axis=2)

        np.testing.assert_allclose(agreement(first, second), expected, rtol=1e-6)


class TestSchedule:
    def test_small_training_sets_are_repeated_until_the_network_has_had_its_steps(self):
        assert Schedule(epochs=20).rounds(3303) == (20, 51)
        epochs, batches = Schedule(epochs=2).rounds(40)
        assert epochs * batches >= 400

    def test_no_batch_holds_a_single_capture(self):
        for captures in range(2, 300):
            _, batches = Schedule(epochs=1).rounds(captures)
            assert captures // batches >= min(captures, 8)


class TestShifted:
    def test_zeros_move_in_and_nothing_wraps_around(self):
        torch.manual_seed(0)
        rows = shifted(torch.arange(1.0, 6.0).expand(200, 1, 5), 2)[:, 0]

        found = {tuple(row) for row in rows.tolist()}

        assert found == {(3, 4, 5, 0, 0), (2, 3, 4, 5, 0), (1, 2, 3, 4, 5), (0, 1, 2, 3, 4), (0, 0, 1, 2, 3)}


class TestSequence:
    def test_its_length_is_a_multiple_of_sixteen_that_holds_most_captures(self, site):
        sequence = Sequence.fitted(site.train, 192)

        assert sequence.columns == 32
        assert sequence(site.train).shape == (len(site.train), 3, 32)

    def test_one_huge_download_is_clipped(self, odd):
        assert np.abs(Sequence.fitted(odd, 64)(odd)).max() <= 3
