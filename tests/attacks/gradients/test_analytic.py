import numpy as np
import pytest
import torch
from torch import nn

from app.attacks.gradients.analytic import Analytic
from app.attacks.gradients.base import LocalTraining, Unsuited
from tests.attacks.gradients.exact_victims import matched, mlp, observed, trained, victim


def run(observation):
    return Analytic()([observation], np.random.default_rng(0))[0]


class TestAnalytic:
    def test_it_recovers_a_single_record_from_a_gradient(self):
        observation, x, y = victim(mlp(16), 1, 0)
        found = run(observation)

        assert matched(found, x, y)[0][0] > 100
        assert found.confident.tolist() == [True]

    def test_it_recovers_a_single_record_from_a_step_with_decay(self):
        observation, x, y = victim(mlp(16), 1, 0)
        found = run(trained(observation, x, y, LocalTraining(1, 0, (0.1,), weight_decay=1e-3)))

        assert matched(found, x, y)[0][0] > 50

    def test_it_finds_the_records_that_have_neurons_of_their_own(self):
        network = mlp(6, inputs=4)
        with torch.no_grad():
            network[1].weight.copy_(torch.eye(4)[[0, 0, 1, 1, 2, 3]] * torch.tensor([1.0, 2, 1, 2, 1, 1])[:, None])
            network[1].bias.fill_(-0.1)
        x = torch.tensor([[0.9, 0.0, 0.5, 0.0], [0.0, 0.8, 0.4, 0.0], [0.0, 0.0, 0.3, 0.7]])
        found = run(observed(network, x, torch.tensor([0, 1, 2])))

        assert found.confident.sum() == 2
        assert torch.cdist(found.inputs[found.confident], x).amin(1).max() < 1e-4

    def test_every_record_gets_its_own_label(self):
        observation, x, y = victim(mlp(64), 2, 0)
        found = run(observation)

        assert found.confident.all()
        assert matched(found, x, y)[1] == 1.0

    def test_it_refuses_a_network_that_begins_otherwise(self):
        network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 14 * 14, 10))

        with pytest.raises(Unsuited, match="first layer"):
            run(victim(network, 1, 0)[0])

    def test_it_refuses_a_first_layer_without_bias(self):
        network = nn.Sequential(nn.Flatten(), nn.Linear(768, 8, bias=False), nn.ReLU(), nn.Linear(8, 10))

        with pytest.raises(Unsuited, match="no bias"):
            run(victim(network, 1, 0)[0])
