from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.grnn import Grnn
from app.attacks.gradients.smoothing import Bend, Smoothed
from app.attacks.gradients.victims import stack
from tests.attacks.gradients.observations import observe, records

SHAPE = (1, 8, 8)
SMALL = {"iterations": 150, "restarts": 0, "width": 8, "noise": 32}


def victim(name="cnn", shape=SHAPE, count=3, seed=0, **known):
    """A client with a few images that are not noise, and these."""
    model = networks.build(name, shape, 10, np.random.default_rng(seed))
    x, y = records((shape[0], 3, 3), count, seed)
    x = nn.functional.interpolate(x, shape[1:], mode="bilinear")
    return observe(model, x, y, **known), x, y


def worst(found, true):
    """dB of the image that came out worst, each compared with the most similar one."""
    error = (found.inputs[:, None] - true[None]).square().flatten(2).mean(2)
    return float(-10.0 * error.amin(0).max().log10())


class TestGrnn:
    def test_every_image_of_a_batch_comes_back(self):
        observation, x, y = victim()
        found = Grnn(**SMALL)([observation], np.random.default_rng(0))[0]
        assert worst(found, x) > 26.0
        assert sorted(found.labels.tolist()) == sorted(y.tolist())

    def test_the_published_search_can_be_had_and_loses_images_in_as_many_steps(self):
        observation, x, _ = victim()
        published = replace(Grnn.published(150), width=8, noise=32)
        assert (published.optimiser, published.labels, published.smooth) == ("rmsprop", "branch", 0.0)
        assert worst(published([observation], np.random.default_rng(0))[0], x) < 16.0

    def test_smoothing_gets_nearer_to_the_gradient_in_as_many_steps(self):
        rng = np.random.default_rng(0)
        coarse = torch.tensor(rng.random((4, 3, 5, 5)), dtype=torch.float32)
        x, y = nn.functional.interpolate(coarse, (8, 8), mode="bilinear"), torch.tensor(rng.permutation(10)[:4])
        observation = observe(networks.build("cnn", (3, 8, 8), 10, np.random.default_rng(0)), x, y)
        attack = Grnn(**SMALL | {"iterations": 80})
        with_bends, without = (
            one([observation], np.random.default_rng(0))[0].score for one in (attack, replace(attack, smooth=0.0))
        )
        assert with_bends < 0.6 * without

    def test_images_of_sizes_that_are_no_powers_of_two_come_back_in_their_range(self):
        observation, x, _ = victim("lenet_relu", (3, 12, 10), 2, mean=(0.5,), std=(0.5,))
        found = Grnn(**SMALL | {"iterations": 40})([observation], np.random.default_rng(0))[0]
        assert found.inputs.shape == x.shape
        assert 0.0 <= float(found.inputs.amin()) < float(found.inputs.amax()) <= 1.0

    def test_the_score_and_the_trace_are_losses_of_the_network_itself(self):
        observation, _, _ = victim(count=2)
        attack = Grnn(**SMALL | {"iterations": 41})
        found = attack([observation], np.random.default_rng(0))[0]
        again = replace(attack, smooth=0.0)([observation], np.random.default_rng(0))[0]
        # Both begin with the same generator, so that the first losses agree unless one was smoothed.
        assert found.trace[0] == pytest.approx(again.trace[0], rel=1e-4)
        assert found.score <= found.trace[-1] < found.trace[0]

    def test_a_victim_is_begun_anew_while_its_loss_is_high(self):
        observation, _, _ = victim("lenet", count=1)
        short = {"iterations": 1, "width": 4, "noise": 8}
        traces = {
            solved: Grnn(restarts=2, solved=solved, **short)([observation], np.random.default_rng(0))[0].trace
            for solved in (0.0, 1.0)
        }
        assert len(traces[0.0]) == 3
        assert list(traces[0.0]) == sorted(traces[0.0], reverse=True)
        assert len(traces[1.0]) <= 3

    def test_the_plain_sum_is_the_share_times_the_square_of_the_gradient(self):
        observation, _, _ = victim("lenet", count=1)
        same = {"iterations": 1, "restarts": 0, "width": 4, "noise": 8, "variation": 0.0}
        share, whole = (
            Grnn(scale=scale, **same)([observation], np.random.default_rng(0))[0].score for scale in ("share", "sum")
        )
        square = sum(float(tensor.square().sum()) for tensor in observation.shared.values())
        assert whole == pytest.approx(share * square, rel=1e-4)

    def test_it_works_from_an_update_of_several_steps(self):
        observation, _, _ = victim("lenet_relu", count=2, training=LocalTraining(epochs=2, learning_rates=(0.01,)))
        found = Grnn(**SMALL | {"iterations": 40})([observation], np.random.default_rng(0))[0]
        assert found.score < 0.5 * found.trace[0]

    def test_kinks_become_narrower_and_vanish(self):
        attack = Grnn(iterations=100, smooth=0.3)
        widths = [attack.bend_at(turn) for turn in range(100)]
        assert widths[0] == pytest.approx(0.3)
        assert widths == sorted(widths, reverse=True)
        assert widths[79] > 0.0
        assert set(widths[80:]) == {0.0}
        assert {Grnn(smooth=0.0).bend_at(turn) for turn in (0, 400)} == {0.0}


class TestSmoothing:
    def test_without_a_bend_the_network_is_the_same_to_the_bit(self):
        observation, x, _ = victim()
        victims = stack([observation])
        smoothed = Smoothed.of(victims)
        assert len(smoothed.bends) == 3
        assert torch.equal(smoothed.victims.client.model(x), victims.client.model(x))
        smoothed.measure(x)
        smoothed.bend(0.1)
        bent = smoothed.victims.client.model(x)
        assert not torch.equal(bent, victims.client.model(x))
        smoothed.bend(0.0)
        assert torch.equal(smoothed.victims.client.model(x), victims.client.model(x))
        assert any(isinstance(module, nn.ReLU) for module in victims.client.model.modules())

    def test_widths_are_deviations_of_what_a_unit_gets(self):
        observation, x, _ = victim("lenet_relu", count=2)
        smoothed = Smoothed.of(stack([observation]))
        smoothed.measure(x)
        with torch.no_grad():
            given = observation.model[0](x)
        assert smoothed.bends[0].spread == pytest.approx(float(given.std(correction=0)), rel=1e-5)

    @pytest.mark.parametrize("slope", [0.0, 0.2])
    def test_a_bend_is_between_its_sides(self, slope):
        bend, x = Bend(slope), torch.linspace(-2.0, 2.0, 41)
        bend.share, bend.spread = 0.1, 2.0
        apart = bend(x) - nn.functional.leaky_relu(x, slope)
        assert float(apart.amin()) >= -1e-6
        assert float(apart[20]) == pytest.approx((1.0 - slope) * 0.2 * np.log(2.0), rel=1e-5)
        assert float(apart[[0, -1]].abs().amax()) < 1e-4

    def test_a_module_in_two_places_stays_one(self):
        shared = nn.ReLU()
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), shared, nn.Linear(8, 8), shared, nn.Linear(8, 10))
        _, x, y = victim(count=1)
        smoothed = Smoothed.of(stack([observe(model, x, y)]))
        assert len(smoothed.bends) == 1
        assert smoothed.victims.client.model[2] is smoothed.victims.client.model[4]
