import numpy as np
import pytest
import torch

from app.attacks.gradients.base import LocalTraining, Unsuited
from app.attacks.gradients.imprint import Expectation, edges, expected_clean, imprint_weights, imprinted
from app.attacks.gradients.networks import build
from app.attacks.gradients.rtf import RobbingTheFed
from tests.attacks.gradients.exact_victims import matched, mlp, pictures, trained, victim

PUBLIC = pictures(400, 99)
SHAPE = (3, 16, 16)


def imprint(bins):
    base = build("lenet_relu", SHAPE, 10, np.random.default_rng(0))
    return imprinted(base, SHAPE, edges(bins, PUBLIC, (0.5,) * 3, (0.5,) * 3))


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


class TestExpectedClean:
    def test_it_agrees_with_a_simulation(self):
        drawn = np.random.default_rng(0).integers(0, 100, (2000, 64))
        alone = np.mean([(np.bincount(row, minlength=100) == 1).sum() for row in drawn])

        assert abs(expected_clean(64, 100) - alone) < 0.3

    def test_unequal_bins_promise_less(self):
        assert Expectation(np.array([0.9, 0.1])).clean(2) < expected_clean(2, 2)


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

    def test_it_survives_several_local_steps(self):
        observation, x, y = victim(imprint(64), 16, 3)
        found = run(trained(observation, x, y, LocalTraining(1, 8, (0.1,), weight_decay=1e-5)))

        assert (matched(found, x, y)[0] > 30).sum() >= 4

    def test_it_refuses_a_model_without_an_imprint(self):
        with pytest.raises(Unsuited, match="no imprint"):
            run(victim(mlp(16), 2, 0)[0])
