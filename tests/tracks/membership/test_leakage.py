import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from app.errors import InvalidUpload
from app.tracks.membership import leakage as measured
from app.tracks.membership.answer_file import SCORE
from app.tracks.membership.resampling import Curves, reach_of_a_guess


def secret(n=400, seed=0):
    is_member = np.random.default_rng(seed).permutation(np.arange(n) < n // 2)
    row = np.where(is_member, np.cumsum(is_member) - 1, -1)
    return {"record_id": np.arange(n) * 7 + 3, "is_member": is_member, "row": row}


def score(scores, asked, order=None):
    places = np.arange(len(scores)) if order is None else order
    answer = {"record_id": asked["record_id"][places], SCORE: np.asarray(scores, float)[places]}
    return measured.leakage(answer, asked)


def informed(asked, strength, seed=1):
    noise = np.random.default_rng(seed).standard_normal(len(asked["is_member"]))
    return noise + strength * asked["is_member"]


class TestLeakage:
    def test_the_blind_get_exactly_0_and_the_best_1(self):
        asked = secret()
        blind = score(np.zeros(400), asked)

        assert blind.value == 0
        assert not blind.replicates.any()
        assert {name: estimate.value for name, estimate in blind.metrics.items() if name != "guess"} == pytest.approx(
            {"auc": 0.5, "balanced_accuracy": 0.5, "tpr_10": 0, "tpr_1": 0, "tpr_01": 0}
        )
        assert score(asked["is_member"], asked).value == 1
        assert score(-1.0 * asked["is_member"], asked).value == 0

    def test_guesses_are_not_rewarded(self):
        asked, guess = secret(), reach_of_a_guess(200, 200)
        answers = np.random.default_rng(0).random((500, 400))

        lucky = [Curves.of(one, asked["is_member"], np.ones((1, 400))).leakages()[0] > guess for one in answers]

        # Five of five hundred are expected beyond the reach of a guess; more than twelve come once in 500 runs.
        assert sum(lucky) <= 12
        assert score(answers[lucky.index(False)], asked).value == 0
        assert not score(answers[lucky.index(False)], asked).replicates.any()

    def test_what_counts_counts_in_full(self):
        asked = secret()
        scores = informed(asked, 1.0)

        found = score(scores, asked)

        assert found.value == pytest.approx(2 * roc_auc_score(asked["is_member"], scores) - 1)
        assert found.value > found.metrics["guess"].value

    def test_a_few_certain_members_count_by_the_low_rate(self):
        asked = secret()
        scores = np.random.default_rng(2).random(400)
        scores[np.flatnonzero(asked["is_member"])[:80]] += 1

        found = score(scores, asked)

        share = found.metrics["tpr_1"].value
        assert share > 0.39
        assert found.value == max(2 * found.metrics["auc"].value - 1, (share - 0.01) / 0.99)

    def test_the_order_of_the_rows_does_not_matter(self):
        asked = secret()
        scores = informed(asked, 1.0)

        mixed = score(scores, asked, np.random.default_rng(3).permutation(400))

        assert mixed.value == score(scores, asked).value
        assert mixed.metrics == score(scores, asked).metrics

    def test_its_intervals_hold_the_value_and_its_replicates_are_shared(self):
        asked = secret()
        weak, strong = (score(informed(asked, strength), asked) for strength in (0.5, 1.5))

        for found in (weak, strong):
            assert all(e.low <= e.value <= e.high for name, e in found.metrics.items() if name != "guess")
            assert found.replicates.shape == (200,)
            assert abs(found.replicates.mean() - found.value) < 0.05
        assert (weak.replicates < strong.replicates).all()

    def test_it_refuses_answers_about_others(self):
        asked = secret()
        with pytest.raises(InvalidUpload):
            measured.leakage({"record_id": asked["record_id"] + 1, SCORE: np.zeros(400)}, asked)

    def test_only_the_defender_gets_figures(self):
        asked = secret()
        found = score(informed(asked, 2.0), asked)

        curve, exposure, exposed = found.figures
        assert found.attacker_figures == ()
        assert curve.arrays["log_x"] is curve.arrays["log_y"] is True
        assert min(min(line) for line in curve.arrays["y"] + curve.arrays["x"]) > 0
        assert sum(exposure.arrays["values"]) == pytest.approx(1)
        assert set(map(int, exposed.arrays["labels"])) <= set(range(200))


class TestCurves:
    @pytest.mark.parametrize("digits", [0, 1, 8])
    def test_they_are_those_of_scikit_learn_ties_included(self, digits):
        rng = np.random.default_rng(digits)
        is_member = rng.random(300) < 0.4
        scores = np.round(rng.standard_normal(300) + is_member, digits)

        curves = Curves.of(scores, is_member, np.ones((1, 300)))

        false, true, _ = roc_curve(is_member, scores, drop_intermediate=False)
        assert curves.areas()[0] == pytest.approx(roc_auc_score(is_member, scores))
        assert curves.balanced_accuracies()[0] == pytest.approx(0.5 + (true - false).max() / 2)

    def test_a_rate_between_two_strangers_is_that_of_the_lower_one(self):
        rng = np.random.default_rng(1)
        is_member = rng.random(300) < 0.4
        scores = rng.standard_normal(300) + is_member
        false, true, _ = roc_curve(is_member, scores, drop_intermediate=False)

        curves = Curves.of(scores, is_member, np.ones((1, 300)))

        for rate in (0.3001, 0.1, 0.01, 0.0001):
            assert curves.true_rates_at(rate)[0] == pytest.approx(true[false <= rate].max())

    def test_a_weight_is_a_repetition(self):
        rng = np.random.default_rng(0)
        is_member, scores, times = rng.random(50) < 0.5, rng.integers(0, 9, 50), rng.integers(0, 4, 50)

        weighted = Curves.of(scores, is_member, times[None].astype(float))
        repeated = Curves.of(np.repeat(scores, times), np.repeat(is_member, times), np.ones((1, times.sum())))

        assert weighted.areas() == pytest.approx(repeated.areas())
        assert weighted.true_rates_at(0.1) == pytest.approx(repeated.true_rates_at(0.1))


class TestReachOfAGuess:
    def test_it_shrinks_with_the_number_of_records(self):
        few, many = reach_of_a_guess(50, 50), reach_of_a_guess(800, 800)

        assert 0 < many < few < 0.5
        # Far from the tails, 2 AUC - 1 is normal with variance (m + n + 1) / (3 m n).
        assert many == pytest.approx(2.33 * np.sqrt(1601 / (3 * 800 * 800)), rel=0.15)
