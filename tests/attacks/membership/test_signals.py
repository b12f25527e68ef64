import numpy as np
import pytest
from scipy.special import log_softmax

from app.attacks.membership import signals


@pytest.fixture
def answers():
    rng = np.random.default_rng(3)
    return rng.normal(size=(3, 50, 6)) * 3, rng.integers(0, 6, 50)


class TestScaledLogit:
    def test_it_is_the_log_odds_of_the_true_class(self, answers):
        logits, y = answers
        p = np.exp(log_softmax(logits, -1))[:, np.arange(50), y]

        assert np.allclose(signals.scaled_logit(logits, y), np.log(p / (1 - p)))

    def test_it_tells_certain_answers_apart_and_stays_finite(self):
        logits = np.array([[200.0, 0, 0], [300.0, 0, 0], [np.inf, 0, 0], [-np.inf, 0, np.nan]])

        found = signals.scaled_logit(logits, np.zeros(4, int))

        assert found[0] < found[1] < found[2]
        assert np.isfinite(found).all()


class TestEntropies:
    def test_the_modified_entropy_is_its_definition(self, answers):
        logits, y = answers
        p = np.exp(log_softmax(logits[0], -1))

        expected = []
        for row, label in zip(p, y, strict=True):
            others = [q for c, q in enumerate(row) if c != label]
            value = -(1 - row[label]) * np.log(row[label]) - sum(q * np.log(1 - q) for q in others)
            expected.append(-value)

        assert np.allclose(signals.negative_modified_entropy(logits[0], y), expected)

    def test_a_sure_mistake_is_no_member_although_its_entropy_is_low(self):
        logits, y = np.array([[20.0, 0.0], [0.0, 20.0]]), np.array([0, 0])

        assert signals.negative_entropy(logits)[0] == pytest.approx(signals.negative_entropy(logits)[1])
        assert signals.negative_modified_entropy(logits, y)[0] > signals.negative_modified_entropy(logits, y)[1] + 10

    def test_certainty_is_finite(self):
        found = signals.negative_modified_entropy(np.array([[1e9, 0.0], [0.0, 1e9]]), np.array([0, 0]))

        assert np.isfinite(found).all()


class TestIsRight:
    def test_ties_are_shared(self):
        assert np.allclose(signals.is_right(np.array([[1.0, 1.0, 0], [0, 2, 1]]), np.array([0, 1])), [0.5, 1.0])


class TestMeansOverModels:
    def test_only_the_chosen_models_count_and_a_gap_is_filled(self):
        values = np.array([[1.0, 2.0, 5.0], [3.0, 4.0, 6.0], [9.0, 9.0, 7.0]])
        mask = np.array([[True, False, True], [True, False, False], [False, False, True]])

        assert np.allclose(signals.mean_where(values, mask), [2.0, 4.0, 6.0])
        assert np.allclose(signals.median_where(values, mask), [2.0, 4.0, 6.0])

    def test_nobody_says_nothing(self):
        assert np.array_equal(signals.mean_where(np.ones((2, 3)), np.zeros((2, 3), bool)), np.zeros(3))
