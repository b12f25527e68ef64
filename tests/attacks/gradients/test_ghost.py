import numpy as np
import pytest
import torch
from torch import nn

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.ghost import Ghost
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.victims import Victims, stack
from tests.attacks.gradients.observations import observe, records

SHAPE = (3, 16, 16)


def victims(
    name: str = "cnn3", count: int = 2, size: int = 3, dtype: torch.dtype = torch.float64, noise: float = 0.0,
    seeds: tuple[int, ...] = (0, 0),
) -> tuple[Victims, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Victims, their records (V, B, ...) and labels (V, B, K); their gradients protected by noise."""
    models = [networks.build(name, SHAPE, 10, np.random.default_rng(seed)).to(dtype) for seed in seeds[:count]]
    x, y = records(SHAPE, count * size)
    x, y = x.reshape(count, size, *SHAPE).to(dtype), y.reshape(count, size)
    draw = torch.Generator().manual_seed(0)
    found = []
    for row, model in enumerate(models):
        one = observe(model, x[row], y[row])
        one = observe(models[0], x[row], y[row]) if seeds[0] == seeds[row] else one
        for tensor in one.shared.values():
            tensor += noise * tensor.std() * torch.randn(tensor.shape, generator=draw, dtype=dtype)
        found.append(one)
    return stack(found, dtype=dtype), x, one_hot(y, 10, dtype)


def guesses(size: int = 3, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(3, size, *SHAPE, generator=draw, dtype=dtype)
    return x, torch.rand(3, size, 10, generator=draw, dtype=dtype).softmax(2), torch.tensor([0, 1, 1])


class TestGhost:
    @pytest.mark.parametrize("kind", ["l2", "cosine"])
    @pytest.mark.parametrize("layers", ["equal", "early", "balanced"])
    @pytest.mark.parametrize("noise", [0.0, 0.5])
    def test_it_agrees_with_the_gradients_formed_in_full(self, kind, layers, noise):
        found, _, _ = victims(noise=noise)
        distance = Distance(kind, layers)
        whole, factored = (Matching(found, distance, factored=chosen, swept=False) for chosen in (False, True))
        assert Ghost.suits(found, distance)
        for some, other in zip(whole.evaluate(*guesses()), factored.evaluate(*guesses()), strict=True):
            assert torch.allclose(some, other, rtol=1e-8, atol=1e-12)
        assert torch.allclose(whole.values(*guesses()), factored.values(*guesses()), rtol=1e-8)

    @pytest.mark.parametrize("name", ["mlp", "fc2", "lenet_relu", "cnn", "cnn3"])
    def test_it_agrees_for_one_problem_of_every_network_with_a_wide_layer(self, name):
        found, _, _ = victims(name, 1, 2)
        x, y, _ = guesses(2)
        one = x[:1], y[:1], torch.tensor([0])
        whole, factored = (Matching(found, factored=chosen, swept=False) for chosen in (False, True))
        for some, other in zip(whole.evaluate(*one), factored.evaluate(*one), strict=True):
            assert torch.allclose(some, other, rtol=1e-8, atol=1e-12)

    def test_close_to_the_truth_no_digits_are_lost_in_single_precision(self):
        exact, x, y = victims()
        rough, _, _ = victims(dtype=torch.float32)
        near = x + 1e-4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        index = torch.arange(2)
        wanted = Matching(exact, factored=False, swept=False).evaluate(near, y, index)
        got = Matching(rough, swept=False).evaluate(near.float(), y.float(), index)
        assert float(wanted[0].max()) < 1e-6
        assert torch.allclose(got[0].double(), wanted[0], rtol=1e-2)
        assert float((got[1].double() - wanted[1]).norm() / wanted[1].norm()) < 1e-2
        assert float(Matching(rough, swept=False).values(x.float(), y.float(), index).max()) < 1e-11

    def test_victims_with_their_own_weights_do_not_mix(self):
        found, _, _ = victims()
        weights = {name: torch.stack([tensor, 1.1 * tensor]) for name, tensor in found.weights.items()}
        client = type(found.client)(found.client.model, shared=False)
        own = Victims(client, weights, {}, found.target, None, found.observations, found.mean, found.std)
        for some, other in zip(
            Matching(own, factored=False, swept=False).evaluate(*guesses()),
            Matching(own, swept=False).evaluate(*guesses()),
            strict=True,
        ):
            assert torch.allclose(some, other, rtol=1e-8, atol=1e-12)

    def test_chunks_change_nothing(self):
        found, _, _ = victims()
        for some, other in zip(
            Matching(found, swept=False).evaluate(*guesses()),
            Matching(found, swept=False, memory=1).evaluate(*guesses()),
            strict=True,
        ):
            assert torch.allclose(some, other, rtol=1e-9, atol=1e-14)

    def test_the_gradient_agrees_with_finite_differences(self):
        found, _, _ = victims("lenet_relu")
        (x, y, index), matching = guesses(), Matching(found, swept=False)
        way = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
        slope = matching.evaluate(x, y, index)[1]
        ends = [matching.values(x + step * way, y, index).sum() for step in (1e-6, -1e-6)]
        assert float((slope * way).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2e-6, rel=1e-4)


class TestWhereItApplies:
    def test_not_to_an_update_a_transform_absolute_distances_or_narrow_layers(self):
        model = networks.build("fc2", SHAPE, 10, np.random.default_rng(0))
        x, y = records(SHAPE, 2)
        update = observe(model, x, y, LocalTraining(epochs=2, learning_rates=(0.1,)))
        transformed = observe(model, x, y, transform=lambda gradient: gradient)
        assert Ghost.suits(stack([observe(model, x, y)]), Distance("l2"))
        assert not Ghost.suits(stack([observe(model, x, y)]), Distance("l1"))
        assert not Ghost.suits(stack([update]), Distance("l2"))
        assert not Ghost.suits(stack([transformed]), Distance("l2"))
        small = networks.build("lenet", SHAPE, 10, np.random.default_rng(0))
        assert not Ghost.suits(stack([observe(small, x, y)]), Distance("l2"))

    def test_not_to_a_model_that_is_more_than_its_layers_in_their_order(self):
        class Doubled(nn.Sequential):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(2.0 * x)

        x, y = records((64,), 2)
        tied = nn.Linear(512, 512)
        for model in (
            Doubled(nn.Linear(64, 512), nn.Linear(512, 10)),
            nn.Sequential(nn.Linear(64, 512), tied, nn.ReLU(), tied, nn.Linear(512, 10)),
        ):
            networks.initialise(model, np.random.default_rng(0))
            assert not Ghost.suits(stack([observe(model, x, y)]), Distance("l2"))
