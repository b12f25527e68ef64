import numpy as np
import pytest
import torch
from torch import nn

from app.attacks.gradients import compiling, networks
from app.attacks.gradients.affine import DIRECT
from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.compiling import Compiled, can_compile
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.sweeps import Sweeps
from app.attacks.gradients.victims import Victims, stack
from tests.attacks.gradients.observations import observe, records
from tests.attacks.gradients.test_ghost import SHAPE, guesses, victims


def uneven() -> nn.Module:
    """Layers with every option that has sweeps: odd windows, steps that leave a rest, no biases, pools that overlap."""
    return nn.Sequential(
        *(nn.Conv2d(3, 4, (3, 2), (2, 3), (1, 0), bias=False), nn.Tanh(), nn.MaxPool2d(3, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(4, 6, 2), nn.Dropout(), nn.AvgPool2d(2), nn.Identity(), nn.Flatten(), nn.Linear(6, 10, bias=False)),
    )


def of(model: nn.Module, size: int = 3) -> Victims:
    """Two victims with `size` records each."""
    networks.initialise(model, np.random.default_rng(0))
    x, y = records(SHAPE, 2 * size)
    model = model.double().eval()
    return stack(
        [observe(model, x[rows].double(), y[rows]) for rows in torch.arange(2 * size).split(size)], dtype=torch.float64
    )


def same(some: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...], rtol: float = 1e-9) -> bool:
    return all(
        torch.allclose(one, two, rtol=rtol, atol=rtol * float(one.abs().max()))
        for one, two in zip(some, other, strict=True)
    )


class TestSweeps:
    @pytest.mark.parametrize("kind", ["l2", "cosine"])
    @pytest.mark.parametrize("name", ["mlp", "lenet", "lenet_relu", "lenet5", "cnn3"])
    def test_they_agree_with_automatic_differentiation(self, name, kind):
        found, distance = victims(name)[0], Distance(kind, "early")
        assert Sweeps.suits(found, distance)
        plain, swept = Matching(found, distance, factored=False, swept=False), Matching(found, distance)
        assert same(plain.evaluate(*guesses()), swept.evaluate(*guesses()))
        assert torch.allclose(plain.values(*guesses()), swept.values(*guesses()), rtol=1e-9)

    @pytest.mark.parametrize("kind", ["l2", "cosine"])
    def test_they_agree_for_layers_with_unusual_options(self, kind):
        found = of(uneven())
        plain, swept = Matching(found, Distance(kind), swept=False), Matching(found, Distance(kind))
        assert Sweeps.suits(found, Distance(kind))
        assert same(plain.evaluate(*guesses()), swept.evaluate(*guesses()))

    @pytest.mark.parametrize("kind", ["l2", "cosine"])
    @pytest.mark.parametrize("layers", ["equal", "early", "balanced"])
    def test_they_agree_for_gradients_that_a_defence_has_changed(self, kind, layers):
        found, distance = victims("lenet_relu", noise=0.5)[0], Distance(kind, layers)
        plain, swept = Matching(found, distance, factored=False, swept=False), Matching(found, distance)
        assert same(plain.evaluate(*guesses()), swept.evaluate(*guesses()))

    @pytest.mark.parametrize("name", ["lenet", "lenet_relu"])
    def test_victims_with_their_own_weights_do_not_mix(self, name):
        found, _, _ = victims(name)
        weights = {part: torch.stack([tensor, 1.1 * tensor]) for part, tensor in found.weights.items()}
        client = type(found.client)(found.client.model, shared=False)
        own = Victims(client, weights, {}, found.target, None, found.observations, found.mean, found.std)
        plain, swept = Matching(own, factored=False, swept=False), Matching(own)
        assert same(plain.evaluate(*guesses()), swept.evaluate(*guesses()))

    @pytest.mark.parametrize("name", ["lenet", "uneven"])
    def test_batches_that_are_convolved_without_patches_agree_too(self, name):
        found = victims("lenet", size=DIRECT)[0] if name == "lenet" else of(uneven(), DIRECT)
        plain, swept = Matching(found, swept=False), Matching(found)
        assert same(plain.evaluate(*guesses(DIRECT)), swept.evaluate(*guesses(DIRECT)))

    def test_chunks_and_the_order_of_problems_change_nothing(self):
        x, y, index = guesses()
        matching = Matching(victims("lenet_relu")[0])
        whole = matching.evaluate(x, y, index)
        assert same(whole, Matching(victims("lenet_relu")[0], memory=1).evaluate(x, y, index))
        turned = matching.evaluate(x.flip(0), y.flip(0), index.flip(0))
        assert same(whole, tuple(part.flip(0) for part in turned))

    def test_probabilities_that_do_not_sum_to_one_count_as_they_are(self):
        found, (x, y, index) = victims("lenet")[0], guesses()
        plain, swept = Matching(found, swept=False), Matching(found)
        assert same(plain.evaluate(x, 1.5 * y, index), swept.evaluate(x, 1.5 * y, index))

    def test_close_to_the_truth_no_digits_are_lost_in_single_precision(self):
        exact, x, y = victims("lenet_relu")
        rough, _, _ = victims("lenet_relu", dtype=torch.float32)
        near = x + 1e-4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        index = torch.arange(2)
        wanted = Matching(exact, factored=False, swept=False).evaluate(near, y, index)
        got = Matching(rough).evaluate(near.float(), y.float(), index)
        assert torch.allclose(got[0].double(), wanted[0], rtol=1e-2)
        assert float((got[1].double() - wanted[1]).norm() / wanted[1].norm()) < 1e-2


class TestWhereTheyApply:
    def test_not_to_an_update_a_transform_or_absolute_distances(self):
        model = networks.build("fc2", SHAPE, 10, np.random.default_rng(0))
        x, y = records(SHAPE, 2)
        update = observe(model, x, y, LocalTraining(epochs=2, learning_rates=(0.1,)))
        assert Sweeps.suits(stack([observe(model, x, y)]), Distance("l2"))
        assert not Sweeps.suits(stack([observe(model, x, y)]), Distance("l1"))
        assert not Sweeps.suits(stack([update]), Distance("l2"))
        transformed = observe(model, x, y, transform=lambda gradient: gradient)
        assert not Sweeps.suits(stack([transformed]), Distance("l2"))

    @pytest.mark.parametrize(
        "layers",
        [
            (nn.Conv2d(3, 6, 3, groups=3), nn.Flatten()),
            (nn.Conv2d(3, 6, 3, dilation=2), nn.Flatten()),
            (nn.Conv2d(3, 6, 3, padding="same"), nn.Flatten()),
            (nn.Conv2d(3, 6, 3, padding=1, padding_mode="circular"), nn.Flatten()),
            (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Flatten()),
            (nn.Conv2d(3, 6, 3), nn.AvgPool2d(3, 2), nn.Flatten()),
            (nn.Conv2d(3, 6, 3), nn.Softplus(), nn.Flatten()),
            (nn.Linear(16, 4), nn.Flatten()),
        ],
    )
    def test_not_to_layers_that_have_none(self, layers):
        features = nn.Sequential(*layers).eval()
        model = nn.Sequential(*layers, nn.Linear(features(torch.zeros(1, *SHAPE)).shape[1], 10)).eval()
        x, y = records(SHAPE, 1)
        assert not Sweeps.suits(stack([observe(model, x, y)]), Distance("l2"))


class TestCompiled:
    @pytest.mark.skipif(not can_compile(), reason="there is no compiler")
    @pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
    def test_compiled_sweeps_agree_with_the_others(self):
        found = of(nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.ReLU(), nn.Linear(4, 10)))
        plain, fast = Matching(found, Distance("cosine")), Matching(found, Distance("cosine"), compiled=True)
        assert same(plain.evaluate(*guesses()), fast.evaluate(*guesses()))

    def test_without_a_compiler_a_function_stays_as_it_is(self, monkeypatch):
        monkeypatch.setattr(compiling, "can_compile", lambda: False)
        assert Compiled(lambda value: value + 1)(torch.ones(1)).item() == 2.0

    def test_where_compiling_fails_it_goes_on_without(self, monkeypatch):
        from torch._dynamo.exc import TorchDynamoException

        tries = []

        def broken(function, **options):
            def call(*given):
                tries.append(given)
                raise TorchDynamoException("no")

            return call

        monkeypatch.setattr(compiling, "can_compile", lambda: True)
        monkeypatch.setattr(torch, "compile", broken)
        function = Compiled(lambda value: value + 1)
        assert [function(torch.ones(1)).item() for _ in range(2)] == [2.0, 2.0]
        assert len(tries) == 1
