from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.gradients.base import LocalTraining, Unsuited
from app.attacks.gradients.imprint import (
    edges,
    expected_peeled,
    imprint_weights,
    imprinted,
    sorting,
)
from app.attacks.gradients.networks import build
from app.attacks.gradients.rtf import RobbingTheFed
from tests.attacks.gradients.exact_victims import matched, mlp, pictures, trained, victim

PUBLIC = pictures(400, 99)
SHAPE = (3, 16, 16)


def imprint(bins):
    base = build("lenet_relu", SHAPE, 10, np.random.default_rng(0))
    return imprinted(base, SHAPE, edges(bins, PUBLIC, (0.5,) * 3, (0.5,) * 3))


def sorted_imprint(bins, records):
    base = build("lenet_relu", SHAPE, 10, np.random.default_rng(0))
    return imprinted(base, SHAPE, *sorting(bins, PUBLIC, records, np.random.default_rng(1), (0.5,) * 3, (0.5,) * 3))


def run(observation):
    return RobbingTheFed()([observation], np.random.default_rng(0))[0]


class TestEdges:
    def test_public_records_fall_into_all_bins_alike(self):
        places = edges(10, PUBLIC).numpy()
        counts = np.bincount(np.searchsorted(places, PUBLIC.flatten(1).mean(1).numpy(), "right") - 1, minlength=10)

        assert counts.min() >= 35
        assert counts.max() <= 45

    def test_without_public_records_they_surround_a_grey_image(self):
        places = edges(11, None, (0.5,), (0.5,))

        assert bool((places.diff() > 0).all())
        assert float(places[1]) < 0 < float(places[-1])


class TestSorting:
    def test_directions_know_little_of_each_other_and_fill_their_bins_alike(self):
        places, directions = sorting(40, PUBLIC, 16, np.random.default_rng(1))
        levels = (PUBLIC.flatten(1) @ directions.T).numpy()
        counts = [
            np.bincount(np.searchsorted(row, each, "right") - 1)
            for row, each in zip(places.numpy(), levels.T, strict=True)
        ]

        assert places.shape == (4, 10)
        assert np.abs(np.corrcoef(levels.T) - np.eye(4)).max() < 0.05
        assert np.min(counts) >= 35

    def test_there_are_few_of_them_for_crowded_bins(self):
        assert len(sorting(32, PUBLIC, 64, np.random.default_rng(1))[0]) == 1


class TestExpectedPeeled:
    def test_one_direction_gives_the_records_that_are_alone(self):
        assert abs(expected_peeled(64, 100, 1) - 64 * 0.99**63) < 1.0

    def test_several_directions_give_nearly_all(self):
        assert expected_peeled(64, 100, 3) > 60
        assert expected_peeled(64, 64, 3) < expected_peeled(64, 64, 1)


class TestImprintWeights:
    def test_it_tells_an_imprint_from_a_network(self):
        assert imprint_weights(dict(imprint(16).named_parameters())) == "0.bins.weight"
        assert imprint_weights(dict(mlp(16).named_parameters())) is None


class TestRobbingTheFed:
    def test_records_alone_in_their_bin_are_recovered_with_their_labels(self):
        observation, x, y = victim(imprint(64), 16, 3)
        found = run(observation)
        psnr, _ = matched(found, x, y)
        errors = torch.cdist(found.inputs.flatten(1), x.flatten(1))

        assert (psnr > 60).sum() >= 6
        assert int(found.confident.sum()) >= 6
        assert bool((found.labels[found.confident] == y[errors.argmin(1)[found.confident]]).float().mean() > 0.8)

    def test_several_directions_give_records_that_share_bins_too(self):
        observation, x, y = victim(sorted_imprint(40, 24), 24, 3)
        found = run(observation)
        psnr, labels = matched(found, x, y)

        assert expected_peeled(24, 40, 1) < 14
        assert (psnr > 70).sum() >= 22
        assert int(found.confident.sum()) >= 22
        assert labels > 0.9

    @pytest.mark.parametrize("training", [LocalTraining(1, 8, (0.1,), weight_decay=1e-5), LocalTraining(3, 5, (0.02,))])
    def test_it_survives_several_local_steps(self, training):
        observation, x, y = victim(sorted_imprint(40, 24), 24, 3)
        found = run(trained(observation, x, y, training))
        psnr, labels = matched(found, x, y)

        assert (psnr > 60).sum() >= 22
        assert labels > 0.8

    def test_it_vouches_for_no_blend(self):
        observation, x, _ = victim(imprint(16), 24, 3)
        found = run(observation)
        nearest = torch.cdist(found.inputs.flatten(1), x.flatten(1)).amin(1)

        assert int(found.confident.sum()) < 16
        assert float(nearest[found.confident].max()) < 0.1 < float(nearest[~found.confident].max())

    def test_it_vouches_for_nothing_in_noise(self):
        observation, _, _ = victim(sorted_imprint(40, 24), 24, 3)
        rng = torch.Generator().manual_seed(0)
        noise = {name: torch.randn(value.shape, generator=rng) for name, value in observation.shared.items()}

        assert not run(replace(observation, shared=noise)).confident.any()

    def test_it_takes_records_out_of_a_sum_over_clients(self):
        # Secure aggregation: the server sees the mean of three clients.
        model = sorted_imprint(64, 24)
        clients = [victim(model, 8, seed) for seed in (3, 4, 5)]
        mean = {name: sum(one.shared[name] for one, _, _ in clients) / 3 for name in clients[0][0].shared}
        x, y = (torch.cat([client[part] for client in clients]) for part in (1, 2))
        found = run(replace(clients[0][0], shared=mean, records=24))

        assert (matched(found, x, y)[0] > 70).sum() >= 22

    def test_it_answers_what_holds_nothing_with_the_mean_public_record(self):
        observation, _, _ = victim(imprint(16), 4, 3, public=PUBLIC)
        nothing = {name: torch.zeros_like(value) for name, value in observation.shared.items()}
        found = run(replace(observation, shared=nothing))

        assert not found.confident.any()
        assert torch.allclose(found.inputs, PUBLIC.mean(0).expand(4, *SHAPE))

    def test_it_refuses_a_model_without_an_imprint(self):
        with pytest.raises(Unsuited, match="no imprint"):
            run(victim(mlp(16), 2, 0)[0])
