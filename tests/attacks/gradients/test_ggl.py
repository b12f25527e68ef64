import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining, Unsuited
from app.attacks.gradients.evolution import CovarianceAdaptation
from app.attacks.gradients.generators import (
    Critic,
    Generator,
    GeneratorTraining,
    fresh,
    from_bytes,
    noise,
    to_bytes,
    train_generator,
)
from app.attacks.gradients.ggl import Ggl, divergence
from app.errors import InvalidUpload
from tests.attacks.gradients.observations import observe, records

SHAPE = (1, 8, 8)
SMALL = Ggl(iterations=30, population=12, refinements=60, candidates=2, training=5, latent=8, width=4)


def maker(shape=SHAPE, latent=8, width=4, seed=0):
    return fresh(lambda: Generator(shape, latent, width), torch.Generator().manual_seed(seed)).eval()


def bars(count, seed=0):
    """Images of one bright bar on a dark ground, at one of eight heights."""
    x = torch.zeros(count, *SHAPE)
    x[torch.arange(count), 0, torch.tensor(np.random.default_rng(seed).integers(8, size=count))] = 1.0
    return x


def victim(count=1, training=None, **known):
    model = networks.build("lenet", SHAPE, 10, np.random.default_rng(0))
    _, y = records(SHAPE, count)
    with torch.no_grad():
        x = maker()(noise(count, 8, torch.Generator().manual_seed(5)))
    return observe(model, x, y, training, **known), x, y


class TestGenerator:
    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 20), (2, 3, 5)])
    def test_it_makes_images_of_any_size_within_the_range(self, shape):
        images = maker(shape)(noise(2, 8, torch.Generator().manual_seed(0))).detach()
        assert images.shape == (2, *shape)
        assert 0.0 <= float(images.amin()) <= float(images.amax()) <= 1.0

    @pytest.mark.parametrize("kind", [Generator, Critic])
    def test_table_rows_are_refused(self, kind):
        with pytest.raises(ValueError, match="images"):
            kind((12,), 8, 4)

    def test_the_weights_survive_a_file(self):
        z = noise(3, 8, torch.Generator().manual_seed(0))
        assert torch.equal(from_bytes(to_bytes(maker()))(z), maker()(z))

    @pytest.mark.parametrize("change", ["truncated", "sizes", "claim", "nan", "nothing"])
    def test_a_file_that_is_not_a_generator_is_refused_without_taking_memory(self, change):
        broken = maker()
        if change == "sizes":
            broken.latent = 9
        if change == "claim":
            broken.latent, broken.width = 4096, 1024
        if change == "nan":
            broken.end.bias.data[0] = torch.nan
        data = {"truncated": to_bytes(broken)[:-9], "nothing": b""}.get(change, to_bytes(broken))
        with pytest.raises(InvalidUpload, match="generator"):
            from_bytes(data)

    def test_a_header_that_is_not_what_it_seems_is_refused(self):
        header = json.dumps(
            {"__metadata__": {"generator": json.dumps({"shape": "x", "latent": 1, "width": 1})}}
        ).encode()
        with pytest.raises(InvalidUpload):
            from_bytes(struct.pack("<Q", len(header)) + header)


class TestTrainGenerator:
    SETTINGS = GeneratorTraining(steps=150, critic=3, batch=32, rate=1e-3, latent=8, width=8)

    def test_it_comes_nearer_to_the_records(self):
        x, told = bars(64), []
        begun = train_generator(x, replace(self.SETTINGS, steps=1), np.random.default_rng(0)).generator
        made = train_generator(x, self.SETTINGS, np.random.default_rng(0), progress=told.append)
        z = noise(64, 8, torch.Generator().manual_seed(1))
        early, late = (torch.cdist(one(z).flatten(1), x.flatten(1)).amin(1).mean() for one in (begun, made.generator))
        assert float(late) < 0.7 * float(early)
        assert told == sorted(told)
        assert told[-1] == 1.0
        assert np.isfinite(made.distances).all()

    def test_the_same_seed_gives_the_same_weights_and_the_records_stay(self):
        x, settings = bars(32), replace(self.SETTINGS, steps=2)
        some, other = (to_bytes(train_generator(x, settings, np.random.default_rng(2)).generator) for _ in range(2))
        assert some == other
        assert torch.equal(x, bars(32))

    def test_too_few_records_are_refused(self):
        with pytest.raises(ValueError, match="at least 16 records, not 3"):
            train_generator(bars(3), self.SETTINGS, np.random.default_rng(0))


class TestCovarianceAdaptation:
    @pytest.mark.parametrize(("size", "left"), [(6, 1e-6), (200, 0.1)])
    def test_it_finds_the_minimum_of_a_stretched_valley_for_every_problem(self, size, left):
        aims = torch.tensor([[0.3], [-1.0]], dtype=torch.float64).expand(2, size)
        stretch = 10.0 ** torch.linspace(0, 2, size, dtype=torch.float64)
        search = CovarianceAdaptation(torch.zeros_like(aims), 1.0, 20, torch.Generator().manual_seed(0))
        begin = (stretch * aims.square()).sum(1)
        for _ in range(400):
            search.tell((stretch * (search.ask() - aims[:, None]).square()).sum(2))
        end = (stretch * (search.mean - aims).square()).sum(1)
        assert bool((end < left * begin).all())

    def test_it_learns_which_variables_belong_together(self):
        search = CovarianceAdaptation(torch.ones(1, 2, dtype=torch.float64), 1.0, 12, torch.Generator().manual_seed(0))
        for _ in range(120):
            points = search.ask()
            search.tell(points.sum(2).square() * 1e6 + (points[:, :, 0] - points[:, :, 1] - 4.0).square())
        torch.testing.assert_close(search.mean, torch.tensor([[2.0, -2.0]], dtype=torch.float64), atol=1e-4, rtol=0.0)

    def test_values_that_are_no_numbers_count_as_the_worst(self):
        search = CovarianceAdaptation(torch.full((1, 3), 2.0), 0.5, 16, torch.Generator().manual_seed(0))
        for _ in range(60):
            points = search.ask()
            search.tell(torch.where(points[:, :, 0] < 0, torch.nan, points.square().sum(2)))
        assert float(search.mean.norm()) < 0.1


class TestDivergence:
    def test_it_is_0_for_standard_values_only(self):
        z = torch.tensor([[[-1.0, 1.0, -1.0, 1.0]], [[2.0, 4.0, 2.0, 4.0]], [[-3.0, 3.0, -3.0, 3.0]]])
        found = divergence(z)
        expected = [0.0, 0.5 * 9.0, -0.5 * (1.0 + np.log(9.0) - 9.0)]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=1e-5)


class TestGgl:
    @pytest.mark.parametrize("training", [None, LocalTraining(2, 0, (0.1,))])
    def test_it_finds_an_image_that_the_generator_can_make(self, training):
        observation, x, y = victim(1, training)
        told = []
        found = SMALL.reconstruct([observation], maker(), np.random.default_rng(0), progress=told.append)[0]
        with torch.no_grad():
            blind = maker()(noise(200, 8, torch.Generator().manual_seed(9))).mean(0)
        assert float((found.inputs - x).square().mean()) < 0.1 * float((blind - x).square().mean())
        assert found.labels.tolist() == y.tolist()
        assert list(found.trace) == sorted(found.trace, reverse=True)
        assert told == sorted(told)

    def test_an_adaptive_attacker_matches_what_a_protection_leaves(self):
        def halved(shared):
            return {
                name: tensor * (torch.arange(tensor.numel()) % 2).reshape(tensor.shape)
                for name, tensor in shared.items()
            }

        observation, _, y = victim()
        protected = replace(observation, shared=halved(observation.shared), labels=y)
        plain, adaptive = (
            SMALL.reconstruct([replace(protected, transform=how)], maker(), np.random.default_rng(0))[0]
            for how in (None, halved)
        )
        assert adaptive.score < 0.1 * plain.score

    def test_it_trains_its_generator_on_the_public_images_and_writes_nothing(self):
        observation, x, _ = victim(2, public=4.0 * bars(20) - 1.0, low=-1.0, high=3.0)
        before = [t.clone() for part in (observation.parameters, observation.shared) for t in part.values()]
        quick = replace(SMALL, iterations=2, refinements=2)
        some, other = (quick([observation], np.random.default_rng(1))[0] for _ in range(2))
        assert torch.equal(some.inputs, other.inputs)
        assert some.inputs.shape == x.shape
        after = [t for part in (observation.parameters, observation.shared) for t in part.values()]
        assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
        assert torch.equal(observation.public, 4.0 * bars(20) - 1.0)

    def test_it_needs_public_images_and_a_generator_of_their_size(self):
        observation, _, _ = victim()
        with pytest.raises(Unsuited, match="at least 16 public images, and there are 0"):
            SMALL([observation], np.random.default_rng(0))
        with pytest.raises(Unsuited, match="not table rows"):
            SMALL([replace(observation, input_shape=(64,), public=torch.zeros(20, 64))], np.random.default_rng(0))
        with pytest.raises(Unsuited, match="generator makes images of shape"):
            SMALL.reconstruct([observation], maker((1, 9, 9)), np.random.default_rng(0))
