"""The formulas of LiRA, RMIA and BASE against their definitions, record by record."""

import numpy as np
import pytest
from scipy.stats import norm

from app import metrics
from app.attacks.membership import bayes_optimal, lira, rmia
from app.attacks.membership.meta_calibrated import Known, MetaCalibrated, Own
from app.attacks.membership.references import References


@pytest.fixture
def models():
    rng = np.random.default_rng(4)
    inside = np.zeros((8, 60), bool)
    for pair in range(4):
        inside[2 * pair] = rng.permutation(np.arange(60) < 30)
        inside[2 * pair + 1] = ~inside[2 * pair]
    return rng.normal(size=(8, 60)) + 2.0 * inside, inside, rng.normal(size=60)


class TestLira:
    def test_own_variances_give_the_ratio_of_normal_densities(self, models):
        scaled, inside, target = models

        found = lira.online(target, scaled, inside, is_own=True)

        for record in range(60):
            into, out = scaled[inside[:, record], record], scaled[~inside[:, record], record]
            expected = norm.logpdf(target[record], into.mean(), into.std())
            expected -= norm.logpdf(target[record], out.mean(), out.std())
            assert found[record] == pytest.approx(expected)

    def test_a_fixed_variance_is_pooled_within_records(self, models):
        scaled, inside, target = models

        found = lira.offline(target, scaled, inside, is_own=False)

        residuals = [scaled[~inside[:, r], r] - scaled[~inside[:, r], r].mean() for r in range(60)]
        deviation = np.sqrt(sum((each**2).sum() for each in residuals) / sum(len(each) - 1 for each in residuals))
        middle = np.array([scaled[~inside[:, r], r].mean() for r in range(60)])
        assert np.allclose(found, norm.logcdf(target, middle, deviation))

    def test_offline_is_one_sided(self, models):
        scaled, inside, _ = models

        low, high = (lira.offline(np.full(60, value), scaled, inside, is_own=True) for value in (-50.0, 50.0))

        assert (high > low).all()

    def test_models_that_agree_exactly_are_finite(self):
        inside = np.arange(4)[:, None] % 2 == np.zeros(5)

        assert np.isfinite(lira.online(np.ones(5), np.zeros((4, 5)), inside, is_own=True)).all()


class TestRmia:
    @pytest.mark.parametrize("gamma", [1.0, 2.0])
    @pytest.mark.parametrize("decimals", [8, 1])
    def test_the_counts_are_those_of_all_pairs(self, gamma, decimals):
        rng = np.random.default_rng(1)
        ratios, population = rng.random(300).round(decimals), rng.random(400).round(decimals)

        found = rmia.shares(ratios, population, gamma)

        assert np.array_equal(found, (ratios[:, None] > gamma * population[None]).sum(axis=1) / 400)

    def test_without_a_population_nothing_is_claimed(self):
        assert np.array_equal(rmia.shares(np.ones(3), np.empty(0)), np.zeros(3))


class TestBayesOptimal:
    def test_it_is_the_ratio_to_the_mean_probability(self, models):
        _, inside, _ = models
        rng = np.random.default_rng(2)
        own, logs = np.log(rng.random(60)), np.log(rng.random((8, 60)))

        found = bayes_optimal.score(own, logs, ~inside)

        expected = [own[r] - np.log(np.exp(logs[~inside[:, r], r]).mean()) for r in range(60)]
        assert np.allclose(found, expected)

    def test_no_model_leaves_the_probability_itself(self):
        assert np.array_equal(bayes_optimal.score(np.ones(2), np.ones((3, 2)), np.zeros((3, 2), bool)), np.ones(2))


class TestMetaCalibrated:
    def made(self, models=4, n=400):
        rng = np.random.default_rng(6)
        inside = np.concatenate([[half, ~half] for half in (rng.random((models // 2 + 1, n)) < 0.5)])
        y, base = rng.integers(0, 3, n), rng.normal(size=n)
        logits = rng.normal(size=(len(inside), n, 3)) * 0.5
        logits[:, np.arange(n), y] += base + 2.0 * inside
        return References(logits[:models], inside[:models], y, n), logits[models], inside[models]

    def test_it_learns_what_members_look_like(self):
        references, logits, is_member = self.made()

        found = MetaCalibrated(models=4, trees=40).score(logits, references, np.random.default_rng(0))

        assert metrics.auc(found, is_member) > 0.85

    def test_the_complement_of_a_pseudo_target_never_tells_about_it(self):
        references, _, _ = self.made()
        changed = references.logits.copy()
        changed[3] += 100.0
        other = References(changed, references.inside, references.y, references.candidates)

        one, two = (
            Known.of(made).features(Own.of(made.logits[2], made.y), made.without(2)) for made in (references, other)
        )

        assert np.array_equal(one, two)
