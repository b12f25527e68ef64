from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from app.attacks.gradients.networks import build, initialise
from app.attacks.gradients.peeling import Known, beyond, convolutions, peeled, solved
from app.attacks.gradients.scaling import as_gradient, normalised
from tests.attacks.gradients.exact_victims import victim


def known_of(network, observation, x, y, features):
    """What is known once the features are exact, from the truth."""
    values = network[:features](normalised(observation, x)).detach().requires_grad_(True)
    (pull,) = torch.autograd.grad(cross_entropy(network[features:](values), y), values)
    layers = convolutions(observation, as_gradient(observation))
    outputs = values.detach().reshape(-1, *layers[-1].outputs)
    return Known(layers, outputs, pull.reshape_as(outputs) * (outputs > 0))


@pytest.fixture(scope="module")
def lenet():
    network = build("lenet_relu", (3, 16, 16), 10, np.random.default_rng(1))
    observation, x, y = victim(network, 3, 1)
    return network, observation, x, known_of(network, observation, x, y, 7)


class TestConvolutions:
    def test_they_are_the_layers_before_the_head(self, lenet):
        _, observation, _, known = lenet

        assert [tuple(layer.weight.shape) for layer in known.layers] == [(12, 3, 5, 5), (12, 12, 5, 5), (12, 12, 5, 5)]
        assert known.layers[0].settings[0] == (2, 2)
        assert torch.equal(known.layers[1].weight, observation.parameters["2.weight"])
        assert torch.equal(known.layers[1].bias_gradient, observation.shared["2.bias"])

    @pytest.mark.parametrize("between", [nn.MaxPool2d(2), nn.Sigmoid(), nn.AvgPool2d(2)])
    def test_there_are_none_with_something_else_in_between(self, between):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), between, nn.Flatten(), nn.LazyLinear(16), nn.ReLU())
        network.append(nn.Linear(16, 10))
        network(torch.zeros(1, 3, 16, 16))
        initialise(network, np.random.default_rng(0))
        observation, _, _ = victim(network, 2, 0)

        assert convolutions(observation, as_gradient(observation)) == ()


class TestConvolution:
    def test_the_adjoint_of_its_gradient_is_one(self, lenet):
        known = lenet[3]
        layer, generator = known.layers[1], torch.Generator().manual_seed(0)
        inputs = torch.randn(3, *layer.shape, generator=generator)
        pull = torch.randn(3, *layer.outputs, generator=generator)
        gradient = torch.randn(layer.weight.shape, generator=generator)
        one = (layer.gradient(inputs, pull) * gradient).sum()

        assert torch.allclose(one, (inputs * layer.returned(gradient, pull)).sum(), rtol=1e-3)


class TestPeeled:
    def test_the_inputs_of_the_last_convolution_are_exact(self, lenet):
        network, observation, x, known = lenet
        truth = network[:4](normalised(observation, x)).detach()
        found, misfit = solved(known, 4000)

        assert misfit < 1e-5
        assert float((found - truth).norm() / truth.norm()) < 1e-4

    def test_what_is_confirmed_leaves_the_layer_before_in_the_same_position(self, lenet):
        network, observation, x, known = lenet
        before = peeled(known, 4000)
        truth = network[:2](normalised(observation, x)).detach()

        assert len(before.layers) == 1
        assert torch.allclose(before.outputs, truth, atol=1e-3)
        assert torch.allclose(before.pull.sum((0, 2, 3)), observation.shared["0.bias"], atol=1e-4)

    def test_layers_with_far_more_unknowns_than_equations_are_left_alone(self, lenet, monkeypatch):
        many = replace(lenet[3], outputs=torch.zeros(64, 12, 4, 4), pull=torch.zeros(64, 12, 4, 4))
        monkeypatch.setattr("app.attacks.gradients.peeling.solved", None)

        assert peeled(many, 50) is many

    def test_a_loss_that_pulls_at_nothing_leaves_everything_as_it_is(self, lenet):
        known = lenet[3]
        still = replace(known, pull=torch.zeros_like(known.pull))

        assert peeled(still, 50) is still

    def test_nothing_is_peeled_that_the_bias_before_does_not_confirm(self, lenet):
        known = lenet[3]
        middle = replace(known.layers[1], bias_gradient=known.layers[1].bias_gradient.flip(0))
        wrong = replace(known, layers=(known.layers[0], middle, known.layers[2]))

        assert peeled(wrong, 4000) is wrong


class TestBeyond:
    def test_below_zero_any_value_gives_the_same(self):
        values, wanted = torch.tensor([-3.0, 2.0, 1.0]), torch.tensor([0.0, 0.0, 4.0])

        assert beyond(values, wanted).tolist() == [0.0, 2.0, -3.0]
