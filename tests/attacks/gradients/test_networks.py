import math

import numpy as np
import pytest
import torch

from app.attacks.gradients import networks


class TestBuild:
    @pytest.mark.parametrize("name", [name for name in networks.NETWORKS if name != "vgg16"])
    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 20)])
    def test_every_network_takes_any_image(self, name, shape):
        network = networks.build(name, shape, 7, np.random.default_rng(0))
        assert network(torch.zeros(2, *shape)).shape == (2, 7)
        assert not network.training

    @pytest.mark.parametrize(("name", "parameters"), [("cnn", 8_413_642), ("cnn3", 1_716_258), ("mlp", 656_810)])
    def test_they_have_the_size_of_the_published_ones(self, name, parameters):
        network = networks.build(name, (3, 32, 32), 10, np.random.default_rng(0))
        assert sum(math.prod(tensor.shape) for tensor in network.parameters()) == parameters

    def test_weights_come_from_the_generator_and_torch_is_left_alone(self):
        before = torch.get_rng_state()
        some, other = (networks.build("mlp", (5,), 3, np.random.default_rng(seed)) for seed in (1, 1))
        third = networks.build("mlp", (5,), 3, np.random.default_rng(2))
        assert torch.equal(some[1].weight, other[1].weight)
        assert not torch.equal(some[1].weight, third[1].weight)
        assert torch.equal(before, torch.get_rng_state())
        assert float(some[1].weight.detach().abs().max()) <= 5**-0.5

    def test_dlg_has_its_own_wide_weights(self):
        weights = networks.build("lenet", (1, 8, 8), 10, np.random.default_rng(0))[0].weight
        assert 0.45 < float(weights.detach().abs().max()) <= 0.5

    @pytest.mark.parametrize(
        ("name", "shape"), [("lenet5", (1, 8, 8)), ("cnn", (5,)), ("resnet18", (5,)), ("no", (5,))]
    )
    def test_what_does_not_suit_is_refused(self, name, shape):
        with pytest.raises(ValueError, match=r"takes images|too small|there is no network|do not suit"):
            networks.build(name, shape, 10, np.random.default_rng(0))
