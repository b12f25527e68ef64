import time

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score, top_k_accuracy_score

from app import metrics


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def answers(rng, n=120, classes=10, decimals=None):
    scores = rng.dirichlet(np.ones(classes), size=n)
    labels = rng.permutation(np.arange(n) % classes)
    scores[np.arange(n), labels] += 0.1
    scores /= scores.sum(axis=1, keepdims=True)
    return (scores if decimals is None else scores.round(decimals)), labels


class TestTopKAccuracy:
    @pytest.mark.parametrize("k", [1, 2, 5])
    def test_it_agrees_with_scikit_learn_without_ties(self, rng, k):
        scores, labels = answers(rng)

        expected = top_k_accuracy_score(labels, scores, k=k)

        assert metrics.top_k_accuracy(scores, labels, k) == pytest.approx(expected)

    def test_uniform_scores_are_worth_exactly_a_guess(self):
        labels = np.arange(30) % 6

        assert metrics.accuracy(np.ones((30, 6)), labels) == pytest.approx(1 / 6)
        assert metrics.top_k_accuracy(np.ones((30, 6)), labels, 3) == pytest.approx(3 / 6)

    def test_a_tie_is_worth_what_random_breaking_is_worth_on_average(self, rng):
        scores, labels = answers(rng, decimals=1)

        broken = [metrics.accuracy(scores + rng.uniform(0, 1e-6, scores.shape), labels) for _ in range(400)]

        assert metrics.accuracy(scores, labels) == pytest.approx(np.mean(broken), abs=0.01)

    def test_every_class_is_in_the_top_of_all(self, rng):
        scores, labels = answers(rng)

        assert metrics.top_k_accuracy(scores, labels, 10) == 1.0
        assert metrics.top_k_accuracy(scores, labels, 99) == 1.0

    def test_nothing_is_zero_and_not_nan(self):
        assert metrics.accuracy(np.empty((0, 3)), np.empty(0, int)) == 0.0


class TestAdvantage:
    def test_chance_is_nothing_and_perfection_is_everything(self):
        assert metrics.advantage(0.01, 0.01) == 0.0
        assert metrics.advantage(0.0, 0.01) == 0.0
        assert metrics.advantage(1.0, 0.01) == 1.0
        assert metrics.advantage(0.55, 0.1) == pytest.approx(0.5)

    def test_one_class_is_finite(self):
        assert np.isfinite(metrics.advantage(1.0, 1.0))


class TestLogLosses:
    def test_the_mean_agrees_with_scikit_learn(self, rng):
        scores, labels = answers(rng)

        assert metrics.log_losses(scores, labels).mean() == pytest.approx(log_loss(labels, scores))

    def test_certainty_in_a_wrong_class_is_bounded(self):
        losses = metrics.log_losses(np.array([[1.0, 0.0]]), np.array([1]))

        assert losses[0] == pytest.approx(-np.log(1e-6))


class TestAuc:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    def test_it_agrees_with_scikit_learn_on_ties_too(self, rng, decimals):
        scores = rng.uniform(size=200)
        scores = scores if decimals is None else scores.round(decimals)
        positive = rng.uniform(size=200) < scores

        assert metrics.auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))

    @pytest.mark.parametrize("positive", [[True, True], [False, False], []])
    def test_one_sided_labels_are_a_guess(self, positive):
        assert metrics.auc(np.arange(len(positive)), np.array(positive, bool)) == 0.5

    def test_it_does_not_change_under_a_monotone_change_of_scores(self, rng):
        scores, positive = rng.normal(size=100), rng.uniform(size=100) < 0.5

        assert metrics.auc(np.exp(scores), positive) == pytest.approx(metrics.auc(scores, positive))


class TestMacroAuc:
    @pytest.mark.parametrize("decimals", [None, 2, 1])
    def test_it_is_the_mean_of_the_one_vs_rest_areas(self, rng, decimals):
        scores, labels = answers(rng, decimals=decimals)

        slow = np.mean([roc_auc_score(labels == c, scores[:, c]) for c in range(10)])

        assert metrics.macro_auc(scores, labels) == pytest.approx(slow, abs=1e-12)

    def test_it_is_computed_in_blocks_without_a_difference(self, rng, monkeypatch):
        scores, labels = answers(rng)
        whole = metrics.macro_auc(scores, labels)

        monkeypatch.setattr(metrics, "BLOCK", 7 * len(labels))

        assert metrics.macro_auc(scores, labels) == pytest.approx(whole, abs=1e-12)

    def test_classes_that_do_not_occur_are_left_out(self, rng):
        scores, labels = answers(rng, classes=4)
        wider = np.concatenate([scores, rng.uniform(size=(len(scores), 3))], axis=1)

        assert metrics.macro_auc(wider, labels) == pytest.approx(metrics.macro_auc(scores, labels))

    @pytest.mark.parametrize("n", [0, 1, 5])
    def test_one_class_alone_is_a_guess(self, n):
        assert metrics.macro_auc(np.ones((n, 3)), np.zeros(n, int)) == 0.5

    def test_the_truth_has_area_one(self):
        labels = np.arange(40) % 8

        assert metrics.macro_auc(np.eye(8)[labels], labels) == 1.0


class TestBootstrap:
    def test_the_area_of_a_resample_is_that_of_the_repeated_rows(self, rng):
        scores, labels = answers(rng, n=40, classes=5, decimals=1)
        indices = metrics.resamples(40, 20, rng)

        quick = metrics.bootstrap(lambda w: metrics.macro_auc_of_resamples(scores, labels, w), indices)
        slow = [metrics.macro_auc(scores[rows], labels[rows]) for rows in indices]

        assert np.allclose(quick, slow, atol=1e-12)

    def test_the_mean_of_a_resample_is_that_of_the_repeated_rows(self, rng):
        values = rng.normal(size=50)
        indices = metrics.resamples(50, 30, rng)

        quick = metrics.bootstrap(lambda w: metrics.weighted_mean(values, w), indices)

        assert np.allclose(quick, values[indices].mean(axis=1))

    def test_the_same_seed_resamples_the_same_items(self):
        first, second = (metrics.resamples(9, 5, np.random.default_rng(3)) for _ in range(2))

        assert np.array_equal(first, second)
        assert metrics.multiplicities(first).sum() == 45

    def test_nothing_to_resample_is_finite(self, rng):
        indices = metrics.resamples(0, 5, rng)

        assert np.isfinite(metrics.bootstrap(lambda w: metrics.weighted_mean(np.empty(0), w), indices)).all()

    def test_a_whole_report_of_a_thousand_resamples_takes_well_under_a_second(self, rng):
        scores, labels = answers(rng, n=300, classes=100)
        hits, top5 = metrics.credit(scores, labels), metrics.credit(scores, labels, 5)
        begin = time.process_time()

        weights = metrics.multiplicities(metrics.resamples(300, 1000, rng))
        metrics.weighted_mean(hits, weights)
        metrics.weighted_mean(top5, weights)
        metrics.macro_auc_of_resamples(scores, labels, weights)

        assert time.process_time() - begin < 1.0


class TestWilson:
    def test_it_matches_the_published_example(self):
        # Newcombe, Statistics in Medicine 1998, table I: 81 of 263.
        low, high = metrics.wilson(81, 263)

        assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)

    @pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (0, 0), (2.5, 7)])
    def test_it_stays_a_proportion(self, successes, n):
        low, high = metrics.wilson(successes, n)

        assert 0.0 <= low <= high <= 1.0
        assert not n or low <= successes / n <= high


class TestPercentileInterval:
    def test_it_covers_the_middle(self):
        low, high = metrics.percentile_interval(np.arange(1001) / 1000)

        assert (low, high) == pytest.approx((0.025, 0.975))

    def test_nothing_is_finite(self):
        assert metrics.percentile_interval(np.empty(0)) == (0.0, 0.0)
