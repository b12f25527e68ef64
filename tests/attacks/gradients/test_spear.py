from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from app.attacks.gradients.analytic import Analytic
from app.attacks.gradients.base import LocalTraining, Unsuited
from app.attacks.gradients.cpa import CocktailParty
from app.attacks.gradients.heads import linear_head
from app.attacks.gradients.networks import build
from app.attacks.gradients.scaling import as_gradient
from app.attacks.gradients.spear import Spear
from tests.attacks.gradients.exact_victims import matched, mlp, observed, pictures, trained, victim


def run(observation, **settings):
    return Spear(**settings)([observation], np.random.default_rng(0))[0]


class TestSpear:
    @pytest.mark.parametrize("search", ["sampling", "patterns"])
    def test_it_recovers_every_record_exactly_with_a_certificate(self, search):
        observation, x, y = victim(mlp(128, 128), 6, 1)
        found = run(observation, search=search)
        psnr, labels = matched(found, x, y)

        assert psnr.min() > 100
        assert labels == 1.0
        assert found.note.startswith("certified")
        assert bool(found.confident.all())

    def test_patterns_recover_a_batch_that_is_too_large_for_sampling(self):
        observation, x, y = victim(mlp(256), 24, 2, public=pictures(100, 9))
        found = run(observation, search="patterns")

        assert matched(found, x, y)[0].min() > 80
        assert found.note.startswith("certified")

    def test_separated_sources_are_a_first_guess_at_a_large_batch(self):
        observation, x, y = victim(mlp(256, inputs=3 * 48**2), 30, 4, side=48)
        found = run(observation, restarts=8, rounds=8)

        assert matched(found, x, y)[0].min() > 100
        assert found.note.startswith("certified")

    def test_records_of_which_one_wakes_a_single_neuron_more_are_told_apart(self):
        observation, _, y = victim(build("lenet_relu", (3, 32, 32), 10, np.random.default_rng(103)), 8, 103, side=32)
        gradient = as_gradient(observation)
        found = Spear().recover(observation, linear_head(observation, gradient, "cpu"), np.random.default_rng(0))

        assert found.certified
        assert sorted(found.labels.tolist()) == sorted(y.tolist())

    def test_it_works_from_one_step_of_training(self):
        observation, x, y = victim(mlp(128), 4, 1)
        found = run(trained(observation, x, y, LocalTraining(1, 0, (0.1,), momentum=0.9, weight_decay=1e-4)))

        assert matched(found, x, y)[0].min() > 60

    def test_it_gives_no_certificate_for_several_steps(self):
        observation, x, y = victim(mlp(128), 3, 1)
        found = run(trained(observation, x, y, LocalTraining(2, 0, (1e-3,))), samples=2000, rounds=2)

        assert found.note.startswith("no certificate")

    def test_it_does_not_certify_what_noise_hides(self):
        observation, _, _ = victim(mlp(128), 4, 1)
        generator = torch.Generator().manual_seed(0)
        noisy = {
            name: value + 0.5 * value.std() * torch.randn(value.shape, generator=generator)
            for name, value in observation.shared.items()
        }
        found = run(replace(observation, shared=noisy), samples=2000, rounds=2)

        assert found.note.startswith("not certified")
        assert not found.confident.any()

    def test_records_that_are_alike_are_recovered_as_often_as_they_occur(self):
        x = pictures(3, 1)[[0, 1, 2, 2]]
        y = torch.tensor([1, 2, 3, 3])
        found = run(observed(mlp(128), x, y), search="sampling")

        assert matched(found, x, y)[0].min() > 80
        assert found.note.startswith("certified")

    def test_it_changes_nothing_in_the_observation(self):
        observation, _, _ = victim(mlp(128), 3, 1)
        before = {name: value.clone() for name, value in observation.shared.items()}
        run(observation)

        assert all(torch.equal(before[name], value) for name, value in observation.shared.items())

    def test_it_refuses_more_records_than_neurons(self):
        with pytest.raises(Unsuited, match="more inputs and outputs"):
            run(victim(mlp(8), 9, 0)[0])

    def test_it_refuses_a_network_without_a_relu(self):
        network = nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.Sigmoid(), nn.Linear(32, 10))

        with pytest.raises(Unsuited, match="ReLU"):
            run(victim(network, 2, 0)[0])


class TestASilentClient:
    @pytest.mark.parametrize("attack", [Spear(), CocktailParty(), Analytic()])
    def test_a_gradient_of_zeros_is_refused_in_words(self, attack):
        observation, _, _ = victim(mlp(32), 2, 1)
        silent = {name: torch.zeros_like(value) for name, value in observation.shared.items()}
        with pytest.raises(Unsuited, match="no neuron of the first layer has a gradient"):
            attack([replace(observation, shared=silent)], np.random.default_rng(0))
