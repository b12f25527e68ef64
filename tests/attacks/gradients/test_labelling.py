from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.labelling import labelled
from app.attacks.gradients.networks import build
from tests.attacks.gradients.exact_victims import mlp, observed, trained, victim

ORDER = torch.tensor([3, 0, 5, 1, 4, 2])


class TestLabelled:
    @pytest.mark.parametrize("model", ["mlp", "lenet", "cnn"])
    def test_every_record_gets_its_own_label_in_any_order(self, model):
        observation, x, y = victim(build(model, (3, 16, 16), 10, np.random.default_rng(4)), 6, 4)
        assert labelled(observation, x[ORDER], np.random.default_rng(0)).tolist() == y[ORDER].tolist()

    def test_known_labels_are_put_in_order_too(self):
        observation, x, y = victim(mlp(64), 6, 2)
        known = replace(observation, labels=y.sort().values)
        assert labelled(known, x[ORDER], np.random.default_rng(0)).tolist() == y[ORDER].tolist()

    def test_an_update_of_small_steps_tells_them_as_well(self):
        observation, x, y = victim(mlp(64), 6, 5)
        update = trained(observation, x, y, LocalTraining(epochs=4, learning_rates=(1e-3,)))
        assert labelled(update, x[ORDER], np.random.default_rng(0)).tolist() == y[ORDER].tolist()

    def test_columns_that_were_not_sent_do_not_count(self):
        observation, x, y = victim(mlp(64), 6, 2)
        name = "3.weight"
        kept = observation.shared[name] * (torch.arange(64) % 2)
        sparse = replace(observation, shared={**observation.shared, name: kept}, labels=y)
        assert labelled(sparse, x[ORDER], np.random.default_rng(0)).tolist() == y[ORDER].tolist()

    def test_a_model_without_a_last_linear_layer_tells_none(self):
        network = nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        observation = observed(network, torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))
        assert labelled(observation, torch.rand(2, 3, 8, 8), np.random.default_rng(0)).tolist() == [-1, -1]
