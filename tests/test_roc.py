import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score, roc_curve

from app import metrics, roc


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def scored(rng, n=600, decimals=None, shift=1.0):
    positive = rng.permutation(np.arange(n) % 2 == 0)
    scores = rng.standard_normal(n) + shift * positive
    return (scores if decimals is None else scores.round(decimals)), positive


class TestRoc:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    def test_it_agrees_with_scikit_learn_on_ties_too(self, rng, decimals):
        scores, positive = scored(rng, decimals=decimals)
        fpr, tpr, thresholds = roc_curve(positive, scores, drop_intermediate=False)

        found = roc.roc(scores, positive)

        assert np.allclose(found.fpr, fpr)
        assert np.allclose(found.tpr, tpr)
        assert np.allclose(found.thresholds[1:], thresholds[1:])

    def test_its_area_is_the_auc_with_half_a_point_for_ties(self, rng):
        scores, positive = scored(rng, decimals=0)
        curve = roc.roc(scores, positive)

        assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(metrics.auc(scores, positive))

    def test_the_order_of_records_does_not_matter(self, rng):
        scores, positive = scored(rng, decimals=1)
        order = rng.permutation(len(scores))

        one, other = roc.roc(scores, positive), roc.roc(scores[order], positive[order])

        assert np.array_equal(one.fpr, other.fpr)
        assert np.array_equal(one.tpr, other.tpr)

    def test_repeating_every_record_changes_no_rate(self, rng):
        scores, positive = scored(rng)

        one, twice = roc.roc(scores, positive), roc.roc(np.tile(scores, 2), np.tile(positive, 2))

        assert np.allclose(one.fpr, twice.fpr)
        assert np.allclose(one.tpr, twice.tpr)

    def test_equal_scores_are_worth_nothing(self):
        curve = roc.roc(np.zeros(100), np.arange(100) < 50)

        assert curve.balanced_accuracy == 0.5
        assert curve.advantage == 0.0
        assert curve.tpr_at(0.1).value == 0.0

    @pytest.mark.parametrize("positive", [np.ones(4, bool), np.zeros(4, bool), np.ones(0, bool)])
    def test_one_side_alone_is_finite(self, positive):
        curve = roc.roc(np.arange(len(positive)), positive)

        assert np.isfinite(curve.fpr).all()
        assert 0.0 <= curve.tpr_at(0.01).value <= 1.0
        assert roc.epsilon_lower_bound(np.arange(len(positive)), positive, np.random.default_rng(0)) == 0.0

    def test_figures_get_points_on_the_curve_above_the_floor(self, rng):
        scores, positive = scored(rng, 5000)
        curve = roc.roc(scores, positive)

        fpr, tpr = curve.points(1e-3, 50)

        assert len(fpr) <= 51
        assert (fpr[-1], tpr[-1]) == (1.0, 1.0)
        assert fpr.min() >= 1e-3
        assert all(
            any(np.isclose(curve.tpr.clip(1e-3)[curve.fpr.clip(1e-3) == x], y)) for x, y in zip(fpr, tpr, strict=True)
        )


class TestTprAtFpr:
    def test_the_false_positive_rate_is_never_exceeded(self, rng):
        scores, positive = scored(rng, decimals=1)

        for fpr in (0.001, 0.01, 0.1, 0.5):
            share = roc.tpr_at_fpr(scores, positive, fpr)
            thresholds = [t for t in np.unique(scores) if (scores[~positive] >= t).mean() <= fpr]
            expected = max(((scores[positive] >= t).mean() for t in thresholds), default=0.0)
            assert share.value == pytest.approx(expected)

    def test_a_rate_that_is_met_exactly_counts(self):
        scores, positive = np.array([4.0, 3.0, 2.0, 1.0] * 5), np.array([True, False, True, False] * 5)

        assert roc.tpr_at_fpr(scores, positive, 0.5).value == 1.0
        assert roc.tpr_at_fpr(scores, positive, 0.499).value == 0.5

    def test_the_interval_is_the_exact_binomial_one(self, rng):
        scores, positive = scored(rng)
        share = roc.tpr_at_fpr(scores, positive, 0.05)

        expected = binomtest(round(share.value * 300), 300).proportion_ci(0.95, "exact")

        assert (share.low, share.high) == pytest.approx((expected.low, expected.high))


class TestClopperPearson:
    def test_it_agrees_with_scipy_at_both_ends(self):
        counts = np.array([0, 1, 7, 20])
        low, high = roc.clopper_pearson(counts, 20, 0.9)

        expected = [binomtest(int(k), 20).proportion_ci(0.9, "exact") for k in counts]

        assert np.allclose(low, [each.low for each in expected])
        assert np.allclose(high, [each.high for each in expected])

    def test_nothing_observed_says_nothing(self):
        assert tuple(map(float, roc.clopper_pearson(0, 0))) == (0.0, 1.0)


class TestRocOfResamples:
    def replayed(self, scores, positive, seed, fprs, count):
        """The same draws, one after another, by scikit-learn."""
        rng = np.random.default_rng(seed)
        ours, theirs = np.sort(scores[positive]), np.sort(scores[~positive])
        drawn = [side[rng.integers(0, len(side), size=(count, len(side)), dtype=np.int32)] for side in (ours, theirs)]
        truth = np.repeat([True, False], [len(ours), len(theirs)])
        areas, rates = [], []
        for one, other in zip(*drawn, strict=True):
            both = np.concatenate([one, other])
            areas.append(roc_auc_score(truth, both))
            rates.append([roc.tpr_at_fpr(both, truth, fpr).value for fpr in fprs])
        return np.array(areas), np.array(rates)

    @pytest.mark.parametrize("decimals", [None, 1])
    def test_every_resample_is_what_its_curve_says(self, rng, decimals):
        scores, positive = scored(rng, 200, decimals)

        areas, rates = roc.roc_of_resamples(scores, positive, np.random.default_rng(3), (0.01, 0.1, 1.0), 40)
        expected = self.replayed(scores, positive, 3, (0.01, 0.1, 1.0), 40)

        assert np.allclose(areas, expected[0])
        assert np.allclose(rates, expected[1])

    def test_blocks_bound_the_memory_and_keep_the_distribution(self, rng, monkeypatch):
        scores, positive = scored(rng, 200)
        whole, _ = roc.roc_of_resamples(scores, positive, rng, count=400)
        monkeypatch.setattr(roc, "BLOCK", 200 * 7)

        parts, _ = roc.roc_of_resamples(scores, positive, rng, count=400)

        assert len(parts) == 400
        assert parts.mean() == pytest.approx(whole.mean(), abs=0.01)
        assert parts.std() == pytest.approx(whole.std(), rel=0.25)


class TestEpsilonLowerBound:
    def test_it_stays_below_the_epsilon_of_randomised_response(self):
        epsilon, claims = 1.0, []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            positive = np.arange(2000) % 2 == 0
            truthful = rng.random(2000) < np.exp(epsilon) / (1 + np.exp(epsilon))
            claims.append(roc.epsilon_lower_bound(positive == truthful, positive, rng))

        assert np.mean(np.array(claims) > epsilon) <= 0.05
        assert np.mean(claims) > 0.6

    def test_a_blind_guess_claims_next_to_nothing(self):
        claims = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            claims.append(roc.epsilon_lower_bound(rng.random(1000), rng.random(1000) < 0.5, rng))

        assert np.mean(np.array(claims) > 0) <= 0.1

    def test_a_perfect_separation_claims_what_the_numbers_allow(self):
        positive = np.arange(2000) % 2 == 0

        claim = roc.epsilon_lower_bound(positive.astype(float), positive, np.random.default_rng(0))

        # No error in 500 leaves a rate of up to 0.7 %, at 97.5 % confidence.
        assert claim == pytest.approx(np.log((1 - 0.00735) / 0.00735), abs=0.01)
