import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from app import metrics
from app import reconstruction_metrics as measures


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def images(rng, batches=3, size=4, side=8, channels=1):
    return gaussian_filter(rng.random((batches, size, channels, side, side)), (0, 0, 0, 1, 1))


class TestMatch:
    @pytest.mark.parametrize("by", ["mse", "ssim"])
    def test_it_undoes_a_shuffle_within_each_batch(self, rng, by):
        true = images(rng)
        order = np.array([rng.permutation(4) for _ in range(3)])
        found = np.stack([batch[places] for batch, places in zip(true, order, strict=True)])

        matched = measures.match(found + rng.normal(0, 0.001, true.shape), true, by=by)

        assert np.array_equal(np.take_along_axis(order, matched.places, axis=1), np.tile(np.arange(4), (3, 1)))
        assert measures.mse(matched.inputs, true).max() < 1e-5

    def test_it_never_takes_one_reconstruction_twice(self, rng):
        true = np.repeat(images(rng, size=1), 4, axis=1)

        matched = measures.match(images(rng), true)

        assert all(sorted(places) == [0, 1, 2, 3] for places in matched.places)

    def test_it_has_the_least_error_of_all_assignments(self, rng):
        from itertools import permutations

        true, found = images(rng, batches=1), images(rng, batches=1)

        best = min(measures.mse(found[:, list(order)], true).mean() for order in permutations(range(4)))

        assert measures.mse(measures.match(found, true).inputs, true).mean() == pytest.approx(best)


class TestPsnr:
    def test_it_is_ten_decibels_per_factor_of_ten(self):
        assert measures.psnr(np.array([1.0, 0.1, 0.01])) == pytest.approx([0, 10, 20])

    def test_it_is_capped_where_an_image_is_exact(self):
        assert measures.psnr(np.zeros(2)).tolist() == [measures.MOST_PSNR] * 2

    def test_it_tells_errors_apart_that_single_precision_can_make(self, rng):
        true = images(rng)

        assert measures.psnr(measures.mse(true + 1e-6, true)) == pytest.approx(120.0, abs=1e-3)


class TestSsim:
    def test_it_is_that_of_the_paper(self, rng):
        """Against a second way to compute it: scipy's Gaussian filter, on the places where the window fits."""
        first, second = images(rng, 1, 1, 24)[0, 0, 0], images(rng, 1, 1, 24)[0, 0, 0]

        def mean(values):
            return gaussian_filter(values, 1.5, radius=5)[5:-5, 5:-5]

        mean_a, mean_b = mean(first), mean(second)
        var_a, var_b, both = mean(first**2) - mean_a**2, mean(second**2) - mean_b**2, mean(first * second)
        c1, c2 = 1e-4, 9e-4
        top = (2 * mean_a * mean_b + c1) * (2 * (both - mean_a * mean_b) + c2)
        expected = (top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean()

        assert measures.ssim(first[None, None, None], second[None, None, None])[0, 0] == pytest.approx(expected)

    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9), (1, 1, 1), (1, 2, 30), (13,)])
    def test_it_is_1_for_equal_records_of_any_shape_and_less_for_others(self, rng, shape):
        true = rng.random((2, 3, *shape))

        assert measures.ssim(true, true) == pytest.approx(1.0)
        assert (measures.ssim(1.0 - true, true) < 1.0).all()

    def test_all_pairs_are_the_single_ones(self, rng):
        true, found = images(rng), images(rng)

        pairs = measures.pairwise_ssim(found, true)

        assert np.diagonal(pairs, axis1=1, axis2=2) == pytest.approx(measures.ssim(found, true))


class TestBlindGuess:
    @pytest.mark.parametrize("size", [1, 2, 8])
    def test_it_is_as_good_as_the_mean_and_better_when_matching_helps(self, rng, size):
        from app.record_sets import digits

        everything = digits().x[rng.permutation(1797)]
        public, private = everything[:600], everything[600 : 600 + 128].reshape(-1, size, 1, 8, 8)

        def error(guess):
            return measures.mse(measures.match(np.broadcast_to(guess, private.shape), private).inputs, private).mean()

        blind = error(measures.blind_guess(public, size, rng)[None])
        mean = error(measures.mean_record(public, len(private), size))
        drawn = error(public[:size][None])
        assert blind < 1.02 * mean
        assert blind < drawn
        assert size < 8 or blind < 0.85 * mean

    def test_more_guesses_than_records_are_allowed(self, rng):
        assert measures.blind_guess(rng.random((3, 5)), 4, rng).shape == (4, 5)


class TestIdentified:
    def test_only_records_of_the_same_class_compete(self, rng):
        true, labels = images(rng), np.arange(12).reshape(3, 4) % 2
        others = images(rng, 1, 20)[0]

        found = true + 0.001
        assert measures.identified(found, true, labels, others, np.zeros(20, int)).all()
        # A twin of every record, but of a class that does not occur, hides none; of its own class it hides it.
        twins = true.reshape(-1, 1, 8, 8)
        assert measures.identified(found, true, labels, twins, np.full(12, 7)).all()
        assert not measures.identified(found, true, labels, twins, labels.ravel()).any()

    def test_a_mean_identifies_next_to_nobody(self, rng):
        true, others = images(rng, 8), images(rng, 1, 100)[0]
        labels = np.zeros((8, 4), int)

        hits = measures.identified(measures.mean_record(others, 8, 4), true, labels, others, np.zeros(100, int))

        assert hits.mean() < 0.1


class TestLabelAccuracy:
    def test_it_is_the_overlap_of_multisets(self):
        true = np.array([[1, 1, 2, 3], [0, 0, 0, 0]])
        found = np.array([[3, 1, 1, 1], [0, 5, -1, 0]])

        assert measures.label_accuracy(found, true).tolist() == [0.75, 0.5]
        assert measures.label_accuracy(true[:, ::-1], true).tolist() == [1.0, 1.0]
        counts = [np.bincount(row[row >= 0], minlength=6) for row in (true[0], found[0])]
        assert measures.label_accuracy(found, true)[0] == 1 - np.abs(counts[0] - counts[1]).sum() / 8


class TestUpright:
    def test_an_oracle_turns_negatives_and_nothing_else(self, rng):
        true = images(rng)
        found = true.copy()
        found[1, 2] = 1.0 - true[1, 2]

        assert measures.mse(found, true)[1, 2] > 0
        assert measures.upright(found, true) == pytest.approx(true)


class TestBaselines:
    def test_another_record_of_the_same_class(self, rng):
        public, classes = rng.random((30, 2)), np.arange(30) % 3
        labels = np.array([[0, 1], [2, 2]])

        guesses = measures.of_the_same_class(labels, public, classes, rng)

        for guess, label in zip(guesses.reshape(4, 2), labels.ravel(), strict=True):
            assert classes[(public == guess).all(axis=1)] == [label]

    def test_a_class_without_public_records_takes_any(self, rng):
        assert measures.of_the_same_class(np.array([[9]]), rng.random((4, 2)), np.zeros(4), rng).shape == (1, 1, 2)


class TestInterval:
    def test_it_holds_the_mean_and_shrinks_with_more_records(self, rng):
        few, many = rng.random(20), rng.random(2000)
        spans = []
        for values in (few, many):
            low, high = measures.interval(values, metrics.resamples(len(values), 200, rng))
            assert low < values.mean() < high
            spans.append(high - low)

        assert spans[1] < 0.3 * spans[0]


class TestShareAbove:
    def test_it_counts_what_is_above(self):
        assert measures.share_above(np.array([19.0, 20.0, 21.0, 30.0]), 20.0) == 0.5
        assert measures.share_above(np.zeros(0), 20.0) == 0.0
