from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.drift import steady, straight
from app.attacks.gradients.ig import InvertingGradients
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.victims import stack
from tests.attacks.gradients.observations import observe, records

SHAPE = (1, 8, 8)
MIXED = LocalTraining(epochs=3, batch=2, learning_rates=(0.02, 0.01), momentum=0.9, weight_decay=1e-2)


def matching(training, kind="l2", **known):
    model = networks.build("fc2", SHAPE, 10, np.random.default_rng(0)).double()
    x, y = records(SHAPE, 8)
    x, y = x.double().reshape(2, 4, *SHAPE), y.reshape(2, 4)
    observations = [observe(model, x[row], y[row], training, **known) for row in range(2)]
    return Matching(stack(observations, dtype=torch.float64), Distance(kind)), x, one_hot(y, 10, torch.float64)


BOTH = torch.arange(2)


class TestStraight:
    @pytest.mark.parametrize("kind", ["l2", "cosine"])
    def test_a_target_that_was_mended_at_the_truth_is_met_by_the_truth(self, kind):
        exact, x, y = matching(MIXED, kind)
        rough, mended = straight(exact).values(x, y, BOTH), straight(exact, (x, y)).values(x, y, BOTH)
        assert float(rough.min()) > 1e-5
        assert float(mended.max()) < 1e-12

    def test_it_misses_what_the_update_misses_wherever_it_was_mended(self):
        exact, x, y = matching(LocalTraining(epochs=3, learning_rates=(0.5, 0.25)))
        guess = torch.rand(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        mended = straight(exact, (guess, y))
        apart = [each.values(guess, y, BOTH) * lengths(each) for each in (exact, mended)]
        assert torch.allclose(apart[0], apart[1] * (0.5 + 0.25 + 0.25) ** 2, rtol=1e-6)

    def test_memory_changes_nothing(self):
        exact, x, y = matching(MIXED)
        whole, parts = straight(exact, (x * 0.5, y)), straight(replace(exact, memory=1), (x * 0.5, y))
        for name, tensor in whole.victims.target.items():
            assert torch.allclose(tensor, parts.victims.target[name], rtol=1e-9, atol=1e-14)


class TestSteady:
    @pytest.mark.parametrize(("rate", "is_steady"), [(1e-4, True), (1.0, False)])
    def test_small_steps_are_and_large_ones_are_not(self, rate, is_steady):
        exact, x, y = matching(LocalTraining(epochs=5, learning_rates=(rate,)))
        assert steady(exact, (x, y)) == is_steady

    def test_a_gradient_needs_it_not_and_a_protected_update_does_not_allow_it(self):
        exact, x, y = matching(None)
        assert not steady(exact, (x, y))
        exact, x, y = matching(LocalTraining(epochs=2, learning_rates=(1e-4,)), transform=lambda shared: shared)
        assert not steady(exact, (x, y))


class TestASearchWithCorrections:
    def search(self, corrections=3, iterations=40, kind="l2"):
        exact, x, y = matching(LocalTraining(epochs=5, learning_rates=(0.02,)), kind)
        attack = InvertingGradients(
            iterations=iterations, variation=0.0, distance=kind, corrections=corrections, rate=0.05, start="uniform"
        )
        return attack.search(exact.victims, np.random.default_rng(0)), x, y

    def test_its_scores_are_those_of_the_updates(self):
        search, _, _ = self.search()
        best = search.run().result()
        assert torch.allclose(best.loss, search.matching.values(best.x, best.y, BOTH), rtol=1e-9)

    def test_it_goes_on_after_a_stop_as_if_there_had_been_none(self):
        whole, first = self.search()[0].run(), self.search()[0].run(until=17)
        later = self.search()[0].restore(first.state()).run()
        assert torch.equal(whole.best_x, later.best_x)
        assert torch.equal(whole.best, later.best)


def lengths(one):
    return torch.stack([tensor.flatten(1).square().sum(1) for tensor in one.victims.target.values()]).sum(0)
