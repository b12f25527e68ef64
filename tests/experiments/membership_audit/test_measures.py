"""Rates and intervals of an audit, against scikit-learn, SciPy and simulations."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score, roc_curve

from app.experiments.membership_audit.measures import Curve, area, clopper_pearson, true_positives
from app.experiments.membership_audit.verdicts import Calibration


def scores(members=80, others=60, ties=True, seed=0):
    rng = np.random.default_rng(seed)
    is_member = np.arange(members + others) < members
    values = rng.normal(size=len(is_member)) + is_member
    return (values.round(1) if ties else values), is_member


class TestClopperPearson:
    @pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 50), (3, 50), (50, 50), (1, 1), (400, 1000)])
    def test_it_is_the_exact_interval(self, k, n):
        expected = binomtest(k, n).proportion_ci(method="exact")
        found = clopper_pearson(k, n)
        assert (found.value, found.low, found.high) == pytest.approx((k / n, expected.low, expected.high))

    def test_nothing_observed_says_nothing(self):
        assert vars(clopper_pearson(0, 0)) == {"value": 0.0, "low": 0.0, "high": 1.0}


class TestArea:
    def test_it_is_that_of_scikit_learn(self):
        values, is_member = scores()
        assert area(values, is_member).value == pytest.approx(roc_auc_score(is_member, values))

    def test_its_interval_covers_the_truth_nearly_always(self):
        truth, covered = roc_auc_score(*reversed(scores(40_000, 40_000, ties=False, seed=99))), 0
        for seed in range(300):
            found = area(*scores(40, 30, ties=False, seed=seed))
            covered += found.low <= truth <= found.high
        assert 0.92 <= covered / 300 <= 0.99

    def test_a_perfect_area_has_a_width(self):
        found = area(np.arange(40.0), np.arange(40) >= 20)
        assert (found.value, found.high) == (1.0, 1.0)
        assert 0.7 < found.low < 0.95

    def test_one_side_alone_says_nothing(self):
        assert vars(area(np.arange(3.0), np.ones(3, bool))) == {"value": 0.5, "low": 0.0, "high": 1.0}


class TestCurve:
    def test_it_is_that_of_scikit_learn(self):
        values, is_member = scores()
        false, true, _ = roc_curve(is_member, values, drop_intermediate=False)
        found = Curve.of(values, is_member)
        assert np.allclose(found.false, false)
        assert np.allclose(found.true, true)
        assert found.balanced_accuracy == pytest.approx(0.5 + (true - false).max() / 2)

    def test_ties_never_help(self):
        found = Curve.of(np.zeros(20), np.arange(20) < 10)
        assert found.balanced_accuracy == 0.5
        assert found.true_at(0.1) == 0.0

    def test_a_rate_is_never_exceeded(self):
        is_member = np.array([True, True, False, True, False])
        found = Curve.of(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), is_member)
        assert [found.true_at(rate) for rate in (0.0, 0.49, 0.5, 1.0)] == pytest.approx([2 / 3, 2 / 3, 1.0, 1.0])
        assert true_positives(found, 0.01, 3).value == pytest.approx(2 / 3)

    @pytest.mark.parametrize("lowest", [0.0, 1 / 60])
    def test_thinned_points_are_of_the_curve(self, lowest):
        found = Curve.of(*scores())
        false, true = found.thinned(20, lowest)
        points = set(zip(found.false.tolist(), found.true.tolist(), strict=True))
        assert set(zip(false, true, strict=True)) <= points
        assert false[-1] == true[-1] == 1.0
        assert false == sorted(false)
        assert min(false) >= lowest


class TestCalibration:
    def test_a_p_value_counts_who_scores_as_high(self):
        found = Calibration(np.array([1.0, 2.0, 2.0, 3.0]), 0.4)
        values = found.p_values(np.array([0.0, 2.0, 2.5, 9.0]))
        assert values == pytest.approx([1.0, 0.8, 0.4, 0.2])
        assert found.accuses(np.array([2.0, 2.5, 9.0])).tolist() == [False, True, True]
        assert found.least == pytest.approx(0.2)

    def test_of_sentences_like_those_it_was_calibrated_on_it_accuses_the_chosen_share(self):
        rng = np.random.default_rng(0)
        drawn = rng.normal(size=(2000, 20))
        accused = [Calibration(np.sort(row[:19]), 0.1).accuses(row[19:])[0] for row in drawn]
        assert np.mean(accused) == pytest.approx(0.1, abs=0.02)
