import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from app import metrics
from app.attacks.membership.base import Target
from app.attacks.membership.gradient_norm import GradientNorm, multilayer, norms
from app.attacks.membership.white_box import WhiteBox
from app.attacks.membership.white_box_evidence import Evidence, GradientAscent, activations_of, last_weights, observe
from app.training import Recipe, Stack, per_sample_gradients, perceptron, small_cnn, train

from .conftest import CLASSES, WIDTH, target_of

QUICK = WhiteBox(epochs=8, kernels=4)


def tensors(records):
    return torch.from_numpy(records.x), torch.from_numpy(records.y)


def evidence(stack, models, x, y, names, layers=()):
    looked = activations_of(stack.template, layers) if layers else None
    return observe(stack.forward, [stack.weights(model) for model in models], x, y, 4, names, looked)


@pytest.fixture(scope="module")
def rounds():
    """Three rounds of a model that learns 100 of 200 records: (stack of its states, x, y, who is a member)."""
    rng = np.random.default_rng(8)
    x = torch.from_numpy(rng.standard_normal((200, WIDTH)).astype(np.float32))
    y = torch.from_numpy(rng.integers(0, CLASSES, 200))
    states = Stack.seeded(lambda: perceptron((WIDTH,), CLASSES, (32,)), [1])
    every = states.take([])
    for turn in range(3):
        states = train(states, x, y, [np.arange(100)], Recipe(epochs=8, batch=20, rate=0.05), [turn])
        every = every.joined(states)
    return every, x, y, np.arange(200) < 100


class TestNorms:
    def expected(self, target, x, y):
        chunks = per_sample_gradients(target.forward, target.parameters, x, y)
        slopes = next(iter(chunks))[1]
        return torch.stack([slope.flatten(1).norm(dim=1) for slope in slopes.values()], dim=1)

    def test_a_perceptron_is_told_by_its_answers_and_gets_the_closed_form(self, scene):
        target, candidates, _, _ = scene
        x, y = tensors(candidates)

        assert multilayer(target, x) is not None
        assert torch.allclose(norms(target, x, y), self.expected(target, x, y), rtol=1e-3, atol=1e-6)

    def test_other_code_with_the_same_weights_is_not_taken_for_one(self, scene):
        target, candidates, _, _ = scene
        x, y = tensors(candidates)
        names = list(target.parameters)

        def bent(weights, x):
            first, second = ((weights[names[i]], weights[names[i + 1]]) for i in (0, 2))
            return functional.linear(functional.linear(x, *first).tanh(), *second)

        other = Target(CLASSES, target.logits, parameters=target.parameters, forward=bent)

        assert multilayer(other, x) is None
        assert torch.allclose(norms(other, x, y), self.expected(other, x, y), rtol=1e-3, atol=1e-6)

    def test_a_convolutional_target_is_differentiated(self):
        x, y = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(9) % 4
        stack = Stack.seeded(lambda: small_cnn((1, 8, 8), 4, 4), [1])

        found = norms(target_of(stack), x, y)

        assert torch.allclose(found, self.expected(target_of(stack), x, y), rtol=1e-3, atol=1e-6)

    def test_a_black_box_is_refused(self, scene):
        target, candidates, population, _ = scene
        closed = Target(target.classes, target.logits)

        with pytest.raises(ValueError, match="needs the weights"):
            GradientNorm()(closed, candidates, population, np.random.default_rng(0))


class TestObserve:
    def test_it_keeps_gradients_activations_losses_and_labels(self, rounds):
        stack, x, y, _ = rounds

        found = evidence(stack, [0, 2], x, y, last_weights(stack.weights(0), 1), ("1",))
        slopes = next(iter(per_sample_gradients(stack.forward, stack.weights(2), x, y)))[1]

        assert torch.allclose(found.gradients[1][0].float(), slopes["2.weight"], atol=2e-3)
        assert found.activations[0][0].shape == (200, 32)
        assert (found.activations[0][0] >= 0).all()
        assert torch.equal(found.labels.argmax(1), y)
        expected = functional.cross_entropy(stack.module(2)(x), y, reduction="none")
        assert torch.allclose(found.losses[:, 1], expected, atol=1e-5)

    def test_looking_leaves_the_template_without_hooks(self, rounds):
        stack, x, y, _ = rounds

        evidence(stack, [0], x, y, (), ("1",))

        assert not stack.template[1]._forward_hooks

    def test_parts_are_joined_in_their_order(self, rounds):
        stack, x, y, _ = rounds
        names = last_weights(stack.weights(0), 2)
        whole = evidence(stack, [0, 2], x, y, names, ("1",))

        joined = Evidence.joined([whole.take(torch.arange(0, 80)), whole.take(torch.arange(80, 200))])

        assert torch.equal(joined.losses, whole.losses)
        assert torch.equal(joined.labels, whole.labels)
        for kind in ("gradients", "activations"):
            for ours, theirs in zip(getattr(joined, kind), getattr(whole, kind), strict=True):
                assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


class TestWhiteBox:
    def judged(self, stack, models, x, y, is_member, layers=()):
        """The AUC on records that were not known to the attacker."""
        found = evidence(stack, models, x, y, last_weights(stack.weights(0), 2), layers)
        rng = np.random.default_rng(0)
        known = rng.permutation(200) < 100
        rows = torch.from_numpy(np.flatnonzero(known))
        fitted = QUICK.fit(found.take(rows), is_member[known], rng)
        rest = torch.from_numpy(np.flatnonzero(~known))
        return fitted, metrics.auc(fitted.scores(found.take(rest)), is_member[~known]), found

    def test_it_tells_members_that_it_was_not_told_about(self, rounds):
        stack, x, y, is_member = rounds

        fitted, area, found = self.judged(stack, [2], x, y, is_member, ("1",))

        assert area > 0.75
        assert np.array_equal(fitted.scores(found), fitted.scores(found))

    def test_losses_alone_are_enough_where_all_of_them_are_tiny(self):
        rng = np.random.default_rng(2)
        is_member = np.arange(400) < 200
        # Members have a hundredth of the loss of others, and a few records have a loss that dwarfs both.
        losses = np.exp(rng.normal(np.where(is_member, -9.2, -4.6), 0.5))
        losses[[10, 210]] = 50.0
        label = torch.nn.functional.one_hot(torch.zeros(400, dtype=torch.long), CLASSES).float()
        found = Evidence(((),), ((),), torch.from_numpy(losses).float()[:, None], label)
        known = np.arange(400) % 2 == 0

        fitted = QUICK.fit(found.take(torch.from_numpy(np.flatnonzero(known))), is_member[known], rng)
        scores = fitted.scores(found.take(torch.from_numpy(np.flatnonzero(~known))))

        assert metrics.auc(scores, is_member[~known]) > 0.95

    def test_several_rounds_are_seen_together(self, rounds):
        stack, x, y, is_member = rounds

        fitted, area, _ = self.judged(stack, [0, 1, 2], x, y, is_member)

        assert len(fitted.network.gradients) == 6
        assert area > 0.75

    def test_shuffled_members_teach_nothing(self, rounds):
        stack, x, y, is_member = rounds

        _, area, _ = self.judged(stack, [2], x, y, np.random.default_rng(5).permutation(is_member))

        assert area == pytest.approx(0.5, abs=0.15)

    def test_convolutional_gradients_and_maps_have_components(self):
        generator = torch.Generator().manual_seed(1)
        x, y = torch.randn(60, 1, 8, 8, generator=generator), torch.arange(60) % 4
        stack = Stack.seeded(lambda: small_cnn((1, 8, 8), 4, 4), [1])
        found = evidence(stack, [0], x, y, last_weights(stack.weights(0), 4), ("2", "8"))

        fitted = QUICK.fit(found, np.arange(60) < 30, np.random.default_rng(0))

        kinds = [type(part[0]) for part in fitted.network.activations]
        assert kinds == [nn.Conv2d, nn.Flatten]
        assert np.isfinite(fitted.scores(found)).all()

    def test_members_alone_are_refused(self, rounds):
        stack, x, y, _ = rounds

        with pytest.raises(ValueError, match="must be known"):
            QUICK.fit(evidence(stack, [0], x, y, ()), np.ones(200, bool), np.random.default_rng(0))


class TestGradientAscent:
    def test_it_raises_the_loss_of_its_records(self, rounds):
        stack, x, y, _ = rounds
        weights = stack.weights(2)

        moved = GradientAscent(x[90:110], y[90:110], rate=0.5)(stack.forward, weights)

        before, after = (
            functional.cross_entropy(stack.forward(each, x[90:110]), y[90:110]) for each in (weights, moved)
        )
        assert after > before
        assert all(torch.equal(weights[name], stack.weights(2)[name]) for name in weights)

    def test_training_undoes_it_for_members_only(self, rounds):
        stack, x, y, is_member = rounds
        moved = GradientAscent(x[50:150], y[50:150], rate=1.0, steps=3)(stack.forward, stack.weights(2))
        sent = Stack(stack.template, {name: tensor[None] for name, tensor in moved.items()}, {})

        back = train(sent, x, y, [np.arange(100)], Recipe(epochs=4, batch=20, rate=0.05), [9])

        losses = evidence(back, [0], x[50:150], y[50:150], ()).losses[:, 0]
        assert metrics.auc(-losses.numpy(), is_member[50:150]) > 0.8
