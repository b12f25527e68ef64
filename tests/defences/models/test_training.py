"""Protections in training: their losses by hand, their accountant by Opacus, their gradients one by one."""

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant
from torch import nn

from app.defences.models.accounting import epsilon, noise_multiplier
from app.defences.models.dp_sgd import DpSgd
from app.defences.models.dropout import with_dropout
from app.defences.models.losses import LabelSmoothing, RelaxLoss
from app.defences.models.stopping import EarlyStopping
from app.training import Recipe, Stack, logits, perceptron, small_cnn, train


def batch(n=12, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, classes, generator=generator), torch.randint(classes, (n,), generator=generator)


class TestLabelSmoothing:
    def test_it_is_the_cross_entropy_to_the_smoothed_labels(self):
        scores, y = batch()
        smooth = 0.8 * nn.functional.one_hot(y, 4) + 0.2 / 4
        expected = -(smooth * scores.log_softmax(1)).sum(1).mean()
        assert torch.allclose(LabelSmoothing(0.2)(scores, y, 0), expected)


class TestRelaxLoss:
    def test_even_epochs_hold_the_loss_at_alpha(self):
        scores, y = batch()
        mean = nn.functional.cross_entropy(scores, y)
        assert torch.allclose(RelaxLoss(0.4)(scores, y, 0), (mean - 0.4).abs())

    def test_odd_epochs_descend_while_the_loss_is_above_alpha(self):
        scores, y = batch()
        assert torch.allclose(RelaxLoss(0.4)(scores, y, 1), nn.functional.cross_entropy(scores, y))

    def test_odd_epochs_flatten_the_wrong_classes_below_alpha(self):
        scores, y = batch()
        rule = RelaxLoss(50.0 / 3, upper=0.7)
        flat = rule.flattened(scores, y)
        own = flat.gather(1, y[:, None])[:, 0]
        assert torch.allclose(own, scores.softmax(1).gather(1, y[:, None])[:, 0].clamp(max=0.7))
        assert torch.allclose(flat.sum(1), torch.ones(len(y)))
        assert torch.allclose(rule(scores, y, 1), -(flat * scores.log_softmax(1)).sum(1).mean())

    def test_stacked_models_train_as_they_would_alone(self):
        x, y = torch.randn(40, 5, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3
        stack = Stack.fresh(lambda: perceptron((5,), 3, (8,)), 3, np.random.default_rng(0))
        recipe, rows = Recipe(4, 16, 0.5), [np.arange(30), np.arange(5, 40), np.arange(12)]
        together = train(stack, x, y, rows, recipe, [1, 2, 3], RelaxLoss(0.9))
        for k in range(3):
            alone = train(stack.take([k]), x, y, rows[k : k + 1], recipe, [k + 1], RelaxLoss(0.9))
            for name, tensor in alone.parameters.items():
                assert torch.allclose(tensor[0], together.parameters[name][k], atol=1e-5)


class TestDropout:
    def test_names_stay_and_only_training_is_changed(self):
        plain = perceptron((5,), 3, (64,))
        changed = with_dropout(plain, 0.5)
        assert set(dict(changed.named_parameters())) == set(dict(plain.named_parameters()))
        x = torch.ones(4, 5)
        assert torch.equal(changed.eval()(x), plain(x))
        assert not torch.equal(changed.train()(x), plain(x))

    def test_a_share_of_one_is_refused(self):
        with pytest.raises(ValueError, match="not in"):
            with_dropout(perceptron((5,), 3), 1.0)


class TestEarlyStopping:
    def test_each_model_keeps_its_best_weights_and_stops_by_itself(self):
        watch = EarlyStopping(patience=2).watch({"w": torch.zeros(2, 1)})
        for step, values in enumerate([(3.0, 3.0), (2.0, 4.0), (2.5, 5.0), (2.6, 0.0), (9.0, 0.0)]):
            watch.look({"w": torch.full((2, 1), float(step))}, torch.tensor(values))
        assert watch.best["w"].flatten().tolist() == [1.0, 0.0]
        assert watch.value.tolist() == [2.0, 3.0]
        assert watch.is_over


class TestAccounting:
    @pytest.mark.parametrize(("sigma", "rate", "steps"), [(1.0, 0.025, 400), (0.7, 0.1, 50), (2.0, 0.01, 3000)])
    def test_it_equals_opacus(self, sigma, rate, steps):
        accountant = RDPAccountant()
        accountant.history = [(sigma, rate, steps)]
        assert epsilon(sigma, rate, steps, 1e-5) == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-6)
        assert epsilon(sigma, rate, steps, 1e-5, "prv") < epsilon(sigma, rate, steps, 1e-5)

    def test_no_noise_is_no_privacy_and_no_step_costs_nothing(self):
        assert epsilon(0.0, 0.1, 10, 1e-5) == float("inf")
        assert epsilon(1.0, 0.1, 0, 1e-5) == 0.0

    def test_a_noise_for_a_wanted_epsilon_is_found(self):
        sigma = noise_multiplier(3.0, 0.02, 500, 1e-5)
        assert 2.9 < epsilon(sigma, 0.02, 500, 1e-5) <= 3.0

    def test_rates_and_deltas_outside_their_range_are_refused(self):
        with pytest.raises(ValueError, match="must lie"):
            epsilon(1.0, 1.5, 10, 1e-5)


SHAPES = {
    "perceptron": ((5,), lambda: perceptron((5,), 3, (8, 7))),
    "cnn": ((1, 4, 4), lambda: small_cnn((1, 4, 4), 3, 2)),
}


class TestDpSgd:
    def records(self, shape, n=60):
        generator = torch.Generator().manual_seed(3)
        return torch.randn(n, *shape, generator=generator), torch.randint(3, (n,), generator=generator)

    @pytest.mark.parametrize("name", SHAPES)
    def test_without_noise_a_step_is_the_mean_of_clipped_gradients(self, name):
        shape, make = SHAPES[name]
        x, y = self.records(shape)
        stack = Stack.fresh(make, 2, np.random.default_rng(0))
        settings = DpSgd(epochs=1, batch=60, rate=0.3, clip=0.5, noise_multiplier=0.0)
        trained = settings.train(stack, x, y, [np.arange(60), np.arange(60)], np.random.default_rng(1))
        for model in range(2):
            module = stack.module(model).requires_grad_(True)
            total = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
            for row in range(60):
                loss = nn.functional.cross_entropy(module(x[row : row + 1]), y[row : row + 1])
                slopes = torch.autograd.grad(loss, list(module.parameters()))
                norm = torch.sqrt(sum(slope.square().sum() for slope in slopes))
                for key, slope in zip(total, slopes, strict=True):
                    total[key] += slope * min(1.0, 0.5 / float(norm))
            for key, tensor in module.named_parameters():
                assert torch.allclose(trained.parameters[key][model], tensor - 0.3 * total[key] / 60, atol=1e-5)

    def test_the_closed_form_equals_a_gradient_for_each_record(self):
        x, y = self.records((5,))
        plain = Stack.fresh(SHAPES["perceptron"][1], 2, np.random.default_rng(0))
        # An identity at the end hides the perceptron from the fast path and changes nothing else.
        other = Stack.of([nn.Sequential(*plain.module(k), nn.Identity()) for k in range(2)])
        settings, rows = DpSgd(epochs=2, batch=15, noise_multiplier=0.8), [np.arange(60), np.arange(40)]
        fast, slow = (settings.train(stack, x, y, rows, np.random.default_rng(1)) for stack in (plain, other))
        for name, tensor in fast.parameters.items():
            assert torch.allclose(tensor, slow.parameters[name], atol=1e-5), name

    def test_noise_has_its_deviation(self):
        x, y = self.records((5,))
        stack = Stack.fresh(lambda: perceptron((5,), 3, (400,)), 1, np.random.default_rng(0))
        still = DpSgd(epochs=1, batch=60, rate=1.0, clip=2.0, noise_multiplier=0.0)
        noisy = DpSgd(epochs=1, batch=60, rate=1.0, clip=2.0, noise_multiplier=3.0)
        rows = [np.arange(60)]
        one, other = (each.train(stack, x, y, rows, np.random.default_rng(5)) for each in (still, noisy))
        difference = torch.cat([(one.parameters[n] - other.parameters[n]).flatten() for n in one.parameters])
        assert float(difference.std()) == pytest.approx(3.0 * 2.0 / 60, rel=0.06)

    def test_it_learns_and_the_given_stack_stays(self):
        x, _ = self.records((5,), 400)
        y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
        stack = Stack.fresh(lambda: perceptron((5,), 3, (16,)), 3, np.random.default_rng(0))
        before = {name: tensor.clone() for name, tensor in stack.parameters.items()}
        settings = DpSgd(epochs=20, batch=40, rate=1.0, noise_multiplier=0.5)
        trained = settings.train(stack, x, y, [np.arange(400)] * 3, np.random.default_rng(0))
        assert ((logits(trained, x).argmax(2) == y).float().mean(1) > 0.8).all()
        assert all(torch.equal(before[name], tensor) for name, tensor in stack.parameters.items())

    def test_its_epsilon_is_that_of_its_steps(self):
        settings = DpSgd(epochs=10, batch=64, noise_multiplier=1.0)
        assert settings.steps(2505) == 400
        assert settings.epsilon(2505) == pytest.approx(epsilon(1.0, 1 / 40, 400, 1e-5))
        assert settings.epsilon(2505, trainings=2) > settings.epsilon(2505)

    def test_batch_normalisation_is_refused(self):
        stack = Stack.of([nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))])
        with pytest.raises(ValueError, match="batch normalisation"):
            DpSgd().train(stack, *self.records((5,)), [np.arange(60)], np.random.default_rng(0))
