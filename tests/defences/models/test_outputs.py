"""Blurred answers: the predicted class stays, and the promise of each protection holds."""

import numpy as np
import pytest

from app.defences.models.memguard import MemGuard
from app.defences.models.outputs import Rounded, TopK


def answers(rows=400, classes=6, sharpness=2.0, seed=0):
    logits = sharpness * np.random.default_rng(seed).normal(size=(rows, classes))
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def guard(**settings):
    members, others = answers(sharpness=6.0, seed=1), answers(sharpness=1.5, seed=2)
    return MemGuard(**settings).fitted(members, others, np.random.default_rng(0)), members, others


DEFENCES = [TopK(1), TopK(3), TopK(10), Rounded(0), Rounded(1), Rounded(3), guard(steps=30, weights=2)[0]]


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda each: repr(each)[:10])
class TestEvery:
    def test_it_keeps_the_predicted_class_and_finite_answers(self, defence):
        p = answers()
        q = defence(p, np.random.default_rng(0))
        assert q.shape == p.shape
        assert np.isfinite(q).all()
        assert (q.argmax(1) == p.argmax(1)).all()
        assert (q >= 0).all()

    def test_it_changes_nothing_in_what_it_was_given(self, defence):
        p = answers()
        kept = p.copy()
        defence(p, np.random.default_rng(0))
        assert np.array_equal(p, kept)


class TestTopK:
    def test_it_tells_the_k_largest_and_hides_the_order_of_the_rest(self):
        p = answers()
        q = TopK(2)(p, np.random.default_rng(0))
        assert np.allclose(np.sort(q, 1)[:, -2:], np.sort(p, 1)[:, -2:])
        assert np.allclose(np.ptp(np.sort(q, 1)[:, :-2], axis=1), 0)
        assert np.allclose(q.sum(1), 1)


class TestRounded:
    def test_it_has_so_many_digits(self):
        q = Rounded(2)(answers(), np.random.default_rng(0))
        assert np.allclose(q, np.round(q, 2))
        assert len(np.unique(q)) <= 101


class TestMemGuard:
    def test_its_classifier_can_no_longer_tell(self):
        guarded, members, others = guard(steps=100, weights=2, budget=2.0)
        import torch

        def right(p, q):
            scores = guarded.membership(torch.tensor(np.concatenate([p, q]), dtype=torch.float32)).numpy() > 0
            return (scores == np.r_[np.ones(len(p)), np.zeros(len(q))].astype(bool)).mean()

        rng = np.random.default_rng(0)
        assert right(members, others) > 0.9
        assert right(guarded(members, rng), guarded(others, rng)) < 0.6

    def test_the_expected_distortion_stays_within_the_budget(self):
        guarded, members, _ = guard(steps=60, weights=1, budget=0.1)
        distortion = np.mean(
            [np.abs(guarded(members, np.random.default_rng(seed)) - members).sum(1).mean() for seed in range(5)]
        )
        assert 0.0 < distortion < 0.12

    def test_without_a_classifier_it_refuses(self):
        with pytest.raises(TypeError, match="fitted"):
            MemGuard()(answers(), np.random.default_rng(0))
