import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.scaling import as_gradient, total_rate
from app.attacks.gradients.simulate import Client, attackable, one_hot, steps
from app.attacks.gradients.victims import stack
from tests.attacks.gradients.observations import observe, records, update

SHAPE = (3, 8, 8)
MIXED = LocalTraining(epochs=2, batch=2, learning_rates=(0.1, 0.05, 0.02, 0.01), momentum=0.9, weight_decay=1e-3)
SMALL = ("mlp", "fc2", "lenet", "lenet_relu", "cnn", "cnn3")
LARGE = ("resnet18", "vgg16_small")


def network(name, shape=SHAPE, seed=0):
    return networks.build(name, shape, 10, np.random.default_rng(seed)).double()


def simulated(model, x, y, training):
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    client = Client(attackable(model, "cpu"), shared=True)
    with torch.no_grad():
        found = client.update(weights, dict(model.named_buffers()), x[None], one_hot(y, 10, x.dtype)[None], training)
    return {name: tensor[0] for name, tensor in found.items()}


class TestTheUnroll:
    @pytest.mark.parametrize("name", SMALL)
    def test_it_is_the_training_that_a_client_really_does(self, name):
        model = network(name)
        x, y = records(SHAPE, 4)
        found = simulated(model, x.double(), y, MIXED)
        real, _ = update(model, x.double(), y, MIXED)
        for key in real:
            assert torch.allclose(found[key], real[key], rtol=1e-9, atol=1e-13)

    @pytest.mark.parametrize("name", LARGE)
    def test_it_is_real_for_deep_networks_too(self, name):
        model = network(name).float()
        x, y = records(SHAPE, 2)
        training = LocalTraining(epochs=1, batch=1, learning_rates=(0.01, 0.005), momentum=0.5, weight_decay=1e-3)
        found = simulated(model, x, y, training)
        real, _ = update(model, x, y, training)
        for key in real:
            # Subtracting two float weights costs the real update its last digits: one part in 10^7 of the weight.
            assert torch.allclose(found[key], real[key], rtol=1e-3, atol=3e-7)

    def test_it_is_real_for_pooled_images_of_a_last_smaller_batch(self):
        model = network("lenet5", (1, 16, 16))
        x, y = records((1, 16, 16), 3)
        training = LocalTraining(epochs=1, batch=2, learning_rates=(0.3,))
        found, (real, _) = simulated(model, x.double(), y, training), update(model, x.double(), y, training)
        for key in real:
            assert torch.allclose(found[key], real[key], rtol=1e-9, atol=1e-13)

    def test_a_network_in_training_mode_normalises_by_its_batch_and_keeps_nothing(self):
        model = network("resnet18").train()
        x, y = records(SHAPE, 2)
        training = LocalTraining(epochs=1, batch=2, learning_rates=(0.1,))
        before = copy.deepcopy(model.state_dict())
        found = simulated(model, x.double(), y, training)
        real, _ = update(model, x.double(), y, training)
        for key in real:
            assert torch.allclose(found[key], real[key], rtol=1e-7, atol=1e-11)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name])


class TestSteps:
    def test_the_last_batch_of_an_epoch_is_smaller(self):
        plan = list(steps(LocalTraining(epochs=2, batch=3, learning_rates=(0.1, 0.2)), 5))
        assert [(step.rows.start, step.rows.stop) for step in plan] == [(0, 3), (3, 5)] * 2
        assert [step.rate for step in plan] == [0.1, 0.2, 0.2, 0.2]

    def test_the_total_rate_counts_momentum(self):
        training = LocalTraining(epochs=3, learning_rates=(0.1,), momentum=0.5)
        assert total_rate(training, 4) == pytest.approx(0.1 * (1 + 1.5 + 1.75))


class TestTheScaleOfAnUpdate:
    def test_one_step_is_exactly_a_gradient(self):
        model = network("mlp")
        x, y = records(SHAPE, 3)
        training = LocalTraining(learning_rates=(0.01,), weight_decay=0.1)
        victims = stack([observe(model, x.double(), y, training)], dtype=torch.float64)
        plain = observe(model, x.double(), y)
        assert victims.training is None
        for name, tensor in plain.shared.items():
            assert torch.allclose(victims.target[name][0], tensor, rtol=1e-8, atol=1e-12)

    def test_several_small_steps_come_out_as_their_mean_gradient(self):
        model = network("mlp")
        x, y = records(SHAPE, 4)
        training = LocalTraining(epochs=5, learning_rates=(1e-5,), momentum=0.9, weight_decay=1e-3)
        found = as_gradient(observe(model, x.double(), y, training))
        for name, tensor in observe(model, x.double(), y).shared.items():
            assert torch.allclose(found[name], tensor, rtol=1e-2, atol=1e-5)


class TestTheObjective:
    @pytest.mark.parametrize("training", [None, MIXED])
    @pytest.mark.parametrize("distance", ["l2", "cosine"])
    def test_its_gradient_agrees_with_finite_differences(self, training, distance):

        model = network("lenet", (2, 8, 8))
        x, y = records((2, 8, 8), 4)
        one = observe(model, x.double(), y, training)
        matching = Matching(stack([one, one], dtype=torch.float64), Distance(distance, "balanced"))
        generator = torch.Generator().manual_seed(0)
        guess = torch.rand(3, 4, 2, 8, 8, generator=generator, dtype=torch.float64).requires_grad_()
        chance = torch.rand(3, 4, 10, generator=generator, dtype=torch.float64).softmax(2).requires_grad_()
        index = torch.tensor([0, 1, 1])
        slopes = torch.autograd.grad(matching(guess, chance, index).sum(), (guess, chance))
        for slope, part in zip(slopes, (0, 1), strict=True):
            way = torch.randn(slope.shape, generator=generator, dtype=torch.float64)
            ends = []
            for sign in (1.0, -1.0):
                moved = [guess.detach(), chance.detach()]
                moved[part] = moved[part] + sign * 1e-5 * way
                ends.append(matching(*moved, index).sum())
            assert float((slope * way).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-5)

    @pytest.mark.parametrize("training", [None, MIXED])
    def test_the_truth_has_distance_zero_and_nothing_else_is_written(self, training):
        model = network("cnn3", (1, 8, 8)).train()
        x, y = records((1, 8, 8), 4)
        one = observe(model, x.double(), y, training)
        kept = copy.deepcopy((one.parameters, one.shared, one.buffers, model.state_dict()))
        matching = Matching(stack([one], dtype=torch.float64))
        truth = one_hot(y, 10, torch.float64)[None]
        loss = matching(x.double()[None].requires_grad_(), truth, torch.tensor([0]))
        loss.sum().backward()
        assert float(loss.detach()) < 1e-20
        for before, after in zip(kept, (one.parameters, one.shared, one.buffers, model.state_dict()), strict=True):
            assert all(torch.equal(before[name], after[name]) for name in before)
        assert model.training
        assert all(tensor.grad is None and tensor.requires_grad for tensor in model.parameters())

    def test_victims_with_their_own_weights_do_not_mix(self):
        models = [network("lenet", (1, 8, 8), seed) for seed in (0, 1)]
        x, y = records((1, 8, 8), 2)
        alone = [observe(model, x.double(), y) for model in models]
        both = stack([alone[0], copy.copy(alone[0])], dtype=torch.float64)
        mixed = stack([alone[0], observe_with(alone[0], models[1], x.double(), y)], dtype=torch.float64)
        truth = one_hot(y, 10, torch.float64).expand(2, -1, -1)
        batch = x.double().expand(2, -1, -1, -1, -1)
        assert both.client.shared
        assert not mixed.client.shared
        for victims in (both, mixed):
            assert float(Matching(victims)(batch, truth, torch.arange(2)).max()) < 1e-20

    def test_chunks_change_nothing(self):
        model = network("lenet", (1, 8, 8))
        x, y = records((1, 8, 8), 2)
        victims = stack([observe(model, x.double(), y)], dtype=torch.float64)
        guess = torch.rand(5, 2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        chance, index = one_hot(y, 10, torch.float64).expand(5, -1, -1), torch.zeros(5, dtype=torch.int64)
        whole, parts = Matching(victims), Matching(victims, memory=1)
        for some, other in zip(whole.evaluate(guess, chance, index), parts.evaluate(guess, chance, index), strict=True):
            assert torch.allclose(some, other, rtol=1e-9, atol=1e-14)

    def test_an_adaptive_attacker_sees_through_the_protection(self):
        model = network("lenet", (1, 8, 8))
        x, y = records((1, 8, 8), 2)
        plain = observe(model, x.double(), y)

        def halved(gradient):
            return {name: 0.5 * tensor.clamp(-0.01, 0.01) for name, tensor in gradient.items()}

        protected = replace(plain, shared=halved(plain.shared), transform=halved)
        truth, index = one_hot(y, 10, torch.float64)[None], torch.tensor([0])
        naive = Matching(stack([replace(protected, transform=None)], dtype=torch.float64))
        adaptive = Matching(stack([protected], dtype=torch.float64))
        assert float(adaptive(x.double()[None], truth, index)) < 1e-20
        assert float(naive(x.double()[None], truth, index)) > 0.1


def observe_with(like, model, x, y):
    """An observation of the architecture of `like` with the weights of another model."""

    own = observe(model, x, y)
    return replace(own, model=like.model)
