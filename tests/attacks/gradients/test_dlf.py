import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.gradients import labels, networks
from app.attacks.gradients.base import LocalTraining, Unsuited
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.dlf import Dlf, EpochMatching, OrderPrior, agreed, halfway, smoothed
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.scaling import as_gradient, gradient_at, residual, total_rate
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.victims import stack
from tests.attacks.gradients.observations import observe, records

SHAPE = (1, 8, 8)
UNEVEN = LocalTraining(epochs=3, batch=2, learning_rates=(0.1, 0.05, 0.02))


def victim(training=UNEVEN, name="fc2", count=3, seed=0, **known):
    x, y = records(SHAPE, count, seed)
    model = networks.build(name, SHAPE, 10, np.random.default_rng(seed))
    return observe(model, x, y, training, **known), x, y


def waves(count):
    """Smooth pictures (count, 1, 8, 8)."""
    angles = torch.arange(count)[:, None, None] * 0.8
    rows, columns = torch.meshgrid(torch.linspace(0, 3, 8), torch.linspace(0, 3, 8), indexing="ij")
    return (0.5 + 0.5 * torch.sin(angles.cos() * rows + angles.sin() * columns + angles))[:, None]


def shuffled(model, x, y, training):
    """What a client shares that takes its records in a new order in every epoch."""
    client, generator = copy.deepcopy(model), torch.Generator().manual_seed(1)
    optimiser = torch.optim.SGD(client.parameters(), training.rate(0), momentum=training.momentum)
    for _ in range(training.epochs):
        for rows in torch.randperm(len(x), generator=generator).split(training.batch):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(client(x[rows]), y[rows]).backward()
            optimiser.step()
    after = dict(client.named_parameters())
    shared = {name: (before - after[name]).detach() for name, before in model.named_parameters()}
    return replace(observe(model, x, y, training), shared=shared)


def written(observation):
    """Everything that an attack could write into, as copies."""
    parts = (
        observation.parameters,
        observation.shared,
        observation.buffers,
        dict(observation.model.named_parameters()),
    )
    return [tensor.detach().clone() for part in parts for tensor in part.values()]


class TestEpochMatching:
    def test_the_true_records_in_every_epoch_give_the_update_even_with_a_smaller_last_batch(self):
        observation, x, y = victim()
        victims = stack([observation])
        everywhere = x.repeat(3, 1, 1, 1)[None], one_hot(y, 10).repeat(3, 1)[None]
        found = EpochMatching(victims, Distance("l2"))(*everywhere, torch.tensor([0]))
        assert float(found) < 1e-9

    def test_every_epoch_has_records_of_its_own(self):
        observation, x, y = victim()
        pages = x.repeat(3, 1, 1, 1)[None].requires_grad_()
        changed = pages.detach().clone()
        changed[0, 7] += 0.5
        matching = EpochMatching(stack([observation]), Distance("l2"))
        labels_ = one_hot(y, 10).repeat(3, 1)[None]
        assert float(matching(changed, labels_, torch.tensor([0]))) > 1e-6
        (slope,) = torch.autograd.grad(matching(changed.requires_grad_(), labels_, torch.tensor([0])).sum(), changed)
        assert bool((slope[0].flatten(1).abs().amax(1) > 0).all())

    def test_values_are_those_of_the_evaluation_with_gradients(self):
        for training in (UNEVEN, None):
            observation, x, y = victim(training)
            matching, y = Matching(stack([observation]), Distance("l2")), one_hot(y, 10)[None]
            guess = x[None].flip(1)
            alone, both = matching.values(guess, y, torch.tensor([0])), matching(guess, y, torch.tensor([0]))
            torch.testing.assert_close(alone, both.detach())


class TestHalfway:
    def test_the_gradient_there_is_nearer_to_the_mean_of_the_steps_than_that_at_the_start(self):
        training = LocalTraining(epochs=4, batch=4, learning_rates=(0.02,))
        x, y = waves(4), torch.tensor([3, 1, 7, 1])
        model = networks.build("mlp", SHAPE, 10, np.random.default_rng(0))
        one = shuffled(model, x, y, training)
        mean = as_gradient(one)

        def apart(seen):
            return residual(gradient_at(seen, x, y), mean)

        assert apart(halfway(one)) < 0.65 * apart(one)

    def test_a_smoothed_training_goes_as_far_without_an_order(self):
        one, _, _ = victim(LocalTraining(10, 2, (0.1, 0.2), momentum=0.3, weight_decay=1e-3))
        few = smoothed(one, 4).training
        assert (few.steps(3), few.batch, few.momentum, few.weight_decay) == (4, 0, 0.0, 1e-3)
        assert 4 * few.rate(0) == pytest.approx(total_rate(one.training, 3))


class TestOrderPrior:
    def prior(self, shape=SHAPE):
        x, y = records(shape, 3)
        model = networks.build("fc2", shape, 10, np.random.default_rng(0))
        return OrderPrior(stack([observe(model, x, y, UNEVEN)]), torch.Generator().manual_seed(0)), x

    @pytest.mark.parametrize("shape", [SHAPE, (12,)])
    def test_it_is_0_for_epochs_with_the_same_records_in_any_order(self, shape):
        prior, x = self.prior(shape)
        pages = torch.cat([x, x.flip(0), x.roll(1, 0)])[None]
        assert float(prior(pages)) < 1e-12
        pages[0, 4] += 0.3
        assert float(prior(pages)) > 1e-6

    def test_it_is_the_mean_square_over_all_pairs_of_epochs(self):
        prior, _ = self.prior()
        pages = torch.rand(1, 9, *SHAPE, generator=torch.Generator().manual_seed(1))
        features = torch.nn.functional.conv2d(pages[0], prior.weight, padding=1).unflatten(0, (3, 3)).amax(1)
        pairs = [(features[a] - features[b]).square().mean() for a, b in itertools.combinations(range(3), 2)]
        torch.testing.assert_close(prior(pages)[0], torch.stack(pairs).mean())


class TestAgreed:
    def test_it_undoes_the_order_of_each_epoch(self):
        x, _ = records(SHAPE, 4)
        same = torch.zeros(4, dtype=torch.int64)
        pages = torch.stack([x, x[[2, 0, 3, 1]], x.flip(0)])
        torch.testing.assert_close(agreed(pages, same), x)

    def test_images_of_different_labels_are_never_put_together(self):
        x, _ = records(SHAPE, 2)
        pages = torch.stack([x, x.flip(0)])
        torch.testing.assert_close(agreed(pages, torch.tensor([0, 1])), x.mean(0, keepdim=True).expand(2, -1, -1, -1))


class TestCountsFromUpdate:
    def test_they_are_right_after_many_steps_at_a_high_rate_where_those_of_the_start_are_not(self):
        training, wrong, at_start = LocalTraining(10, 5, (0.05,)), 0, 0
        for seed in range(3):
            rng = np.random.default_rng(seed)
            x = torch.tensor(rng.random((20, *SHAPE)), dtype=torch.float32)
            y = torch.tensor(rng.integers(10, size=20))
            observation = observe(networks.build("cnn3", SHAPE, 10, rng), x, y, training)
            true = torch.bincount(y, minlength=10)
            found = labels.counts_from_update(observation, np.random.default_rng(0))
            assert int(found.sum()) == 20
            wrong += 20 - int(torch.minimum(found, true).sum())
            before = labels.counts(observation, np.random.default_rng(0))
            at_start += 20 - int(torch.minimum(before, true).sum())
        assert wrong <= 2
        assert at_start > wrong

    def test_those_of_a_gradient_are_the_ordinary_counts(self):
        observation, _, _ = victim(None)
        found = labels.counts_from_update(observation, np.random.default_rng(0))
        assert torch.equal(found, labels.counts(observation, np.random.default_rng(0)))


class TestDlf:
    def test_it_finds_images_and_labels_of_a_training_of_several_epochs(self):
        training = LocalTraining(epochs=2, batch=2, learning_rates=(0.02,))
        observation, x, y = victim(training, "lenet_relu", 2)
        found = Dlf(way="epochs", iterations=120)([observation], np.random.default_rng(0))[0]
        assert sorted(found.labels.tolist()) == sorted(y.tolist())
        apart = torch.cdist(found.inputs.flatten(1), x.flatten(1)).square() / 64
        blind = float((x - 0.5).square().mean())
        assert float(apart.amin(0).max()) < 0.3 * blind
        assert list(found.trace) == sorted(found.trace, reverse=True)

    def test_it_works_from_a_gradient_and_from_table_rows(self):
        x, y = records((12,), 1)
        model = networks.build("mlp", (12,), 10, np.random.default_rng(0))
        for way in ("smooth", "epochs"):
            found = Dlf(way=way, iterations=300)([observe(model, x, y)], np.random.default_rng(0))[0]
            assert float((found.inputs - x).square().mean()) < 0.01

    def test_the_smooth_way_needs_no_order_of_the_records(self):
        training = LocalTraining(epochs=4, batch=2, learning_rates=(0.05,), momentum=0.5)
        x, y = waves(4), torch.tensor([3, 1, 7, 1])
        model = networks.build("mlp", SHAPE, 10, np.random.default_rng(0))
        mixed = shuffled(model, x, y, training)
        found = Dlf(iterations=100, straight=100)([mixed], np.random.default_rng(0))[0]
        assert found.labels.tolist() == [1, 1, 3, 7]
        apart = torch.cdist(x.flatten(1), found.inputs.flatten(1)).square() / 64
        blind = float((x - x.mean()).square().mean())
        assert float(apart.amin(1).max()) < 0.2 * blind

    @pytest.mark.parametrize("way", ["smooth", "epochs"])
    def test_the_same_seed_gives_the_same_images_and_nothing_is_written_into_the_observation(self, way):
        observation, _, _ = victim()
        before, mode = written(observation), observation.model.training
        some, other = (
            Dlf(way=way, iterations=5, straight=5)([observation], np.random.default_rng(3))[0] for _ in range(2)
        )
        assert torch.equal(some.inputs, other.inputs)
        assert all(torch.equal(old, new) for old, new in zip(before, written(observation), strict=True))
        assert observation.model.training == mode

    def test_an_update_that_is_not_finite_is_refused_with_a_reason(self):
        observation, _, _ = victim()
        name = next(iter(observation.shared))
        broken = {**observation.shared, name: torch.full_like(observation.shared[name], torch.nan)}
        with pytest.raises(Unsuited, match="not finite"):
            Dlf(iterations=1)([replace(observation, shared=broken)], np.random.default_rng(0))
