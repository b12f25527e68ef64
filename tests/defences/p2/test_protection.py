"""The additional round: what it aims at, whom it changes, and when it stops."""

import numpy as np
import pytest
import torch
from torch import nn

from app import metrics
from app.defences.p2 import AsPublished, Corrected, Distilled, Shares
from app.defences.p2.base import names, targets
from app.defences.p2.corrected import _Task, quantiles, ranks, transport
from app.defences.p2.poison import is_allowed
from app.defences.p2.published import distance
from app.defences.p2.signals import signals
from app.training import Recipe, Stack, gradient_norms, logits, perceptron, small_cnn, train

CLIENTS, OWN = 2, 40


def shares(each=OWN, noise=1.5):
    """Two clients, each with as many records held out as it trains on; labels that can only be learnt by heart."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4 * each, 8, generator=generator)
    y = ((x[:, 0] + noise * torch.randn(4 * each, generator=generator)) > 0).long()
    parts = np.arange(4 * each).reshape(4, each)
    return Shares(x, y, tuple(parts[:2]), tuple(parts[2:]))


def overfitted(own):
    stack = Stack.fresh(lambda: perceptron((8,), 2, (32,)), CLIENTS, np.random.default_rng(0))
    return train(stack, own.x, own.y, own.rows, Recipe(40, 20, 0.05), np.random.default_rng(1))


@pytest.fixture(scope="module")
def own():
    return shares()


@pytest.fixture(scope="module")
def stack(own):
    return overfitted(own)


def leak(stack, own):
    """The AUC of the loss of each client's model, in the mean."""
    found = []
    for k in range(CLIENTS):
        places = np.concatenate([own.rows[k], own.held_out[k]])
        x, y = own.x[places], own.y[places]
        losses = nn.functional.cross_entropy(logits(stack.take([k]), x)[0], y, reduction="none")
        found.append(metrics.auc(-losses.numpy(), np.arange(len(places)) < len(own.rows[k])))
    return float(np.mean(found))


class TestTargets:
    def test_every_row_keeps_its_label_and_its_confidence(self, stack, own):
        for k, wanted in enumerate(targets(stack, own, 0.1, "first")):
            plain = logits(stack.take([k]), own.x[own.rows[k]])[0].double().softmax(-1)
            assert is_allowed(plain, wanted, 0.1 + 1e-9).all()
            right = plain.argmax(-1) == own.y[own.rows[k]]
            assert (wanted[right].amax(-1) < plain[right].amax(-1)).all()
            assert torch.equal(wanted[~right], plain[~right])

    def test_layers_have_names(self, stack):
        assert names(stack, "first") == ("0.weight",)
        assert names(stack, "last") == ("2.weight", "2.bias")
        assert names(stack, "weights") == ("0.weight", "2.weight")
        assert names(stack, "all") == ("0.weight", "0.bias", "2.weight", "2.bias")


class TestAsPublished:
    def test_the_loss_is_the_sum_of_euclidean_distances(self):
        scores = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
        wanted = torch.full((5, 3), 1 / 3)
        expected = (scores.softmax(1) - wanted).square().sum(1).sqrt().sum()
        assert torch.allclose(distance(scores, wanted), expected)

    def test_a_prediction_that_is_as_wanted_has_a_finite_gradient(self):
        scores = torch.zeros(4, 2, requires_grad=True)
        (slope,) = torch.autograd.grad(distance(scores, torch.full((4, 2), 0.5)), scores)
        assert slope.isfinite().all()

    def test_it_moves_predictions_to_the_poisoned_ones_on_all_records(self, stack, own):
        protected = AsPublished(epochs=200, rate=1e-2).protect(stack, own, np.random.default_rng(0))
        for k, wanted in enumerate(targets(stack, own, 0.1, "first")):
            x = own.x[own.rows[k]]
            before, after = (logits(each.take([k]), x)[0].softmax(-1) for each in (stack, protected))
            assert (after - wanted).abs().median() < 0.5 * (before - wanted).abs().median()
            # The published code trained on the last batch only; here the first half moves as well.
            assert (after - wanted)[: OWN // 2].abs().median() < 0.5 * (before - wanted).abs().median()

    def test_clients_do_not_touch_each_other_and_the_stack_stays(self, stack, own):
        kept = stack.copied()
        protection = AsPublished(epochs=3)
        together = protection.protect(stack, own, np.random.default_rng(0))
        alone = protection.protect(stack.take([1]), Shares(own.x, own.y, own.rows[1:]), np.random.default_rng(0))
        for name, tensor in stack.parameters.items():
            assert torch.allclose(together.parameters[name][1], alone.parameters[name][0], atol=1e-5)
            assert torch.equal(tensor, kept.parameters[name])


class TestSignals:
    @pytest.mark.parametrize("make", [lambda: perceptron((16,), 3, (7,)), lambda: small_cnn((1, 4, 4), 3, 2)])
    def test_they_are_the_probability_of_the_class_and_the_norm_of_the_gradient(self, make):
        stack = Stack.fresh(make, 2, np.random.default_rng(0))
        generator = torch.Generator().manual_seed(0)
        shape = (16,) if "0.weight" in stack.parameters and stack.parameters["0.weight"].ndim == 3 else (1, 4, 4)
        x, y = torch.randn(9, *shape, generator=generator), torch.arange(9) % 3
        found, seen = signals(stack, stack.parameters, x.expand(2, *x.shape), y.expand(2, 9))
        assert torch.allclose(found, logits(stack, x), atol=1e-5)
        assert torch.allclose(seen[..., 0], found.softmax(-1).gather(-1, y.expand(2, 9)[..., None])[..., 0])
        assert torch.allclose(seen[..., 1], gradient_norms(stack, x, y).norm(dim=-1), atol=1e-5)


class TestTransport:
    def test_it_is_zero_between_a_set_and_itself_in_another_order(self):
        values = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        assert float(transport(values, values.flip(0))) == 0.0

    def test_it_is_the_squared_shift_in_standard_deviations(self):
        values = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        shifted = values + 2.0 * values.std(dim=0, correction=0)
        assert float(transport(shifted, values)) == pytest.approx(4.0, rel=1e-4)

    def test_ranks_and_quantiles_undo_each_other(self):
        values = torch.randn(30, 1, generator=torch.Generator().manual_seed(0))
        assert torch.equal(quantiles(values, ranks(values)), values)


class TestCorrected:
    def test_it_lowers_the_attack_on_the_clients_models_at_an_allowed_cost(self):
        own = shares(200)
        stack = overfitted(own)
        protected = Corrected(epochs=30, patience=30, cost=0.05).protect(stack, own, np.random.default_rng(0))
        held = np.concatenate(own.held_out)

        def accuracy(models):
            right = [logits(models.take([k]), own.x[held])[0].argmax(-1) == own.y[held] for k in range(CLIENTS)]
            return float(torch.stack(right).float().mean())

        assert leak(stack, own) > 0.65
        assert leak(protected, own) < leak(stack, own) - 0.02
        assert accuracy(protected) > accuracy(stack) - 0.08

    def test_without_a_better_epoch_the_weights_stay(self, stack, own):
        protected = Corrected(epochs=2, rate=1.0).protect(stack, own, np.random.default_rng(0))
        reckless = [float((protected.parameters[n] - p).abs().max()) for n, p in stack.parameters.items()]
        assert max(reckless) < 50.0
        still = Corrected(epochs=3, rate=0.0).protect(stack, own, np.random.default_rng(0))
        assert all(torch.equal(still.parameters[name], tensor) for name, tensor in stack.parameters.items())

    def test_predictions_are_poisoned_no_further_than_needed(self, stack, own):
        first = Shares(own.x, own.y, own.rows[:1], own.held_out[:1])
        task = _Task(Corrected(epsilon=0.5), stack.take([0]).copied(), first, np.random.default_rng(0))
        y = own.y[own.rows[0]]
        free = targets(stack.take([0]), first, 0.5, "all")[0].gather(1, y[:, None])
        assert (task.wanted.double().gather(1, y[:, None]) >= free - 1e-6).all()

    def test_clients_without_held_out_records_are_refused(self, stack, own):
        with pytest.raises(ValueError, match="held-out"):
            Corrected().protect(stack, Shares(own.x, own.y, own.rows), np.random.default_rng(0))

    def test_the_same_generator_gives_the_same_models(self, stack, own):
        one, other = (Corrected(epochs=3).protect(stack, own, np.random.default_rng(7)) for _ in range(2))
        assert all(torch.equal(one.parameters[name], other.parameters[name]) for name in one.parameters)


class TestDistilled:
    def pupils(self, stack):
        return Stack.fresh(lambda: perceptron((8,), 2, (32,)), len(stack), np.random.default_rng(5))

    def test_fresh_pupils_learn_the_task_and_not_the_members(self):
        own = shares(200)
        stack = overfitted(own)
        pupils = self.pupils(stack)
        protected = Distilled(epochs=60).protect(stack, own, np.random.default_rng(0), pupils=pupils)

        def agreeing(models):
            said = [logits(each.take([0]), own.x[own.held_out[0]])[0].argmax(-1) for each in (models, stack)]
            return float((said[0] == said[1]).float().mean())

        assert leak(stack, own) > 0.65
        assert leak(protected, own) < 0.5 + (leak(stack, own) - 0.5) / 2
        assert agreeing(protected) > agreeing(pupils) + 0.2

    def test_labels_and_members_are_never_looked_at(self, stack, own):
        pupils, distilled = self.pupils(stack), Distilled(epochs=3)
        x = own.x.clone()
        x[np.concatenate(own.rows)] = 0.0
        blind = Shares(x, 1 - own.y, own.rows, own.held_out)
        one, other = (
            distilled.protect(stack, given, np.random.default_rng(7), pupils=pupils) for given in (own, blind)
        )
        assert all(torch.equal(one.parameters[name], other.parameters[name]) for name in one.parameters)

    def test_without_pupils_models_that_teach_themselves_hardly_move(self, stack, own):
        protected = Distilled(epochs=3).protect(stack, own, np.random.default_rng(0))
        for k in range(CLIENTS):
            before, after = (logits(each.take([k]), own.x)[0].softmax(-1) for each in (stack, protected))
            assert float((before - after).abs().mean()) < 0.05

    def test_clients_without_held_out_records_are_refused(self, stack, own):
        with pytest.raises(ValueError, match="held-out"):
            Distilled().protect(stack, Shares(own.x, own.y, own.rows), np.random.default_rng(0))
