from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining, Unsuited
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.dlg import Dlg
from app.attacks.gradients.grad_inversion import GradInversion
from app.attacks.gradients.grnn import Grnn
from app.attacks.gradients.idlg import Idlg
from app.attacks.gradients.ig import FINISHED, InvertingGradients
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.priors import Consistency, NormStatistics, Outside, total_variation
from app.attacks.gradients.search import solve
from app.attacks.gradients.victims import stack
from tests.attacks.gradients.exact_victims import matched, victim
from tests.attacks.gradients.observations import observe, records

SHAPE = (1, 8, 8)


def smooth(count, shape=SHAPE, seed=0):
    """Images that are not noise: a few values, interpolated; and labels."""
    x, y = records((shape[0], 3, 3), count, seed)
    return nn.functional.interpolate(x, shape[1:], mode="bilinear"), y


def victims(name, count=3, size=1, training=None, **known):
    model = networks.build(name, SHAPE, 10, np.random.default_rng(0))
    x, y = smooth(count * size)
    x, y = x.reshape(count, size, *SHAPE), y.reshape(count, size)
    return [observe(model, x[row], y[row], training, **known) for row in range(count)], x, y


def psnr(found, true):
    return float(-10.0 * (found - true).square().mean().clamp(min=1e-12).log10())


class TestDlg:
    def test_it_finds_every_image_and_label_to_the_pixel(self):
        observations, x, y = victims("lenet", 2)
        found = Dlg(evaluations=400, solved=1e-7)(observations, np.random.default_rng(0))
        for row, one in enumerate(found):
            assert psnr(one.inputs, x[row]) > 40.0
            assert one.labels.tolist() == y[row].tolist()
            assert one.score < 1e-5
            assert list(one.trace) == sorted(one.trace, reverse=True)

    def test_in_double_precision_it_goes_on_where_single_precision_ends(self):
        observations, x, _ = victims("lenet", 1)
        search = Dlg(evaluations=1500, restarts=0, solved=1e-14, ripe=0.0)
        single, double = (
            replace(search, double=precise)(observations, np.random.default_rng(0))[0] for precise in (False, True)
        )
        assert double.score < 0.5 * single.score
        assert psnr(double.inputs, x[0]) >= 120.0

    def test_it_works_from_an_update_of_several_steps_with_momentum_and_decay(self):
        training = LocalTraining(epochs=2, learning_rates=(0.1, 0.05), momentum=0.9, weight_decay=1e-3)
        observations, x, _ = victims("lenet", 1, training=training)
        found = Dlg(evaluations=300, restarts=1, solved=1e-6)(observations, np.random.default_rng(0))
        assert psnr(found[0].inputs, x[0]) > 30.0

    def test_the_same_seed_gives_the_same_images(self):
        observations, _, _ = victims("lenet", 1)
        some, other = (Dlg(evaluations=60, restarts=0)(observations, np.random.default_rng(3)) for _ in range(2))
        assert torch.equal(some[0].inputs, other[0].inputs)


class TestIdlg:
    def test_it_reads_the_label_and_finds_the_normalised_image_behind_a_relu(self):
        model = networks.build("lenet_relu", SHAPE, 10, np.random.default_rng(0))
        x, y = smooth(1)
        one = observe(model, (x - 0.5) / 0.5, y, mean=(0.5,), std=(0.5,))
        found = Idlg(evaluations=300)([one], np.random.default_rng(0))[0]
        assert found.labels.tolist() == y.tolist()
        assert psnr(found.inputs, x) > 30.0

    def test_it_finds_images_to_the_last_bit_of_a_pixel_behind_a_pooling_and_relus(self):
        observations, x, y = victims("cnn", 2)
        found = Idlg(evaluations=200, restarts=1)(observations, np.random.default_rng(0))
        for row, one in enumerate(found):
            assert one.labels.tolist() == y[row].tolist()
            assert psnr(one.inputs, x[row]) > 55.0


class TestAWarmStart:
    def test_labels_that_are_searched_for_do_not_hold_the_images_back(self):
        observations, x, y = victims("cnn", 2)
        found = Dlg(evaluations=200, restarts=1)(observations, np.random.default_rng(0))
        for row, one in enumerate(found):
            assert one.labels.tolist() == y[row].tolist()
            assert psnr(one.inputs, x[row]) > 50.0

    def test_it_is_seen_in_the_progress_and_in_the_trace(self):
        observations, _, _ = victims("cnn", 1)
        told = []
        attack = Idlg(evaluations=40, restarts=0, warm=100, solved=0.0)
        found = attack(observations, np.random.default_rng(0), progress=told.append)[0]
        assert told == pytest.approx([20 * turn / 140 for turn in range(1, 8)] + [1.0])
        assert len(found.trace) == 7
        assert list(found.trace) == sorted(found.trace, reverse=True)
        assert found.trace[4] < 0.1 * found.trace[0]


class TestSmoothedKinks:
    def test_a_search_that_began_with_bends_ends_on_the_network_itself(self):
        observations, x, _ = victims("cnn", 1, 2)
        shares = []
        attack = InvertingGradients(iterations=200, variation=0.0, smooth=0.3)
        found = attack(observations, np.random.default_rng(0), progress=shares.append)[0]
        assert min(max(psnr(one, true) for one in found.inputs) for true in x[0]) > 30.0
        labels = torch.nn.functional.one_hot(found.labels, 10).float()
        matching = Matching(stack(observations), Distance(attack.distance, attack.layers))
        exact = matching.values(found.inputs[None], labels[None], torch.tensor([0]))
        assert found.score == pytest.approx(float(exact), rel=1e-3, abs=1e-6)
        assert shares == sorted(shares)
        assert shares[-1] <= 1.0

    def test_without_a_kink_to_bend_nothing_changes(self):
        observations, _, _ = victims("lenet", 1)
        plain = InvertingGradients(iterations=20)
        some, other = (one(observations, np.random.default_rng(0)) for one in (plain, replace(plain, smooth=0.3)))
        assert torch.equal(some[0].inputs, other[0].inputs)


class TestInvertingGradients:
    def test_it_finds_images_of_a_batch_from_an_update_of_two_steps(self):
        training = LocalTraining(epochs=2, learning_rates=(1e-3,))
        observations, x, y = victims("lenet", 1, 2, training)
        found = InvertingGradients(iterations=80, variation=1e-4)(observations, np.random.default_rng(0))[0]
        assert sorted(found.labels.tolist()) == sorted(y[0].tolist())
        order = found.labels.argsort(), y[0].argsort()
        assert psnr(found.inputs[order[0]], x[0][order[1]]) > 13.0

    def test_it_finds_them_nearly_to_the_pixel_from_five_small_steps(self):
        observations, x, y = victims("cnn", 1, 2, LocalTraining(epochs=5, learning_rates=(1e-3,)))
        found = InvertingGradients(iterations=200, variation=0.0)(observations, np.random.default_rng(0))[0]
        order = found.labels.argsort(), y[0].argsort()
        assert psnr(found.inputs[order[0]], x[0][order[1]]) > 40.0

    def test_labels_can_be_searched_for_together(self):
        observations, _, y = victims("lenet", 1)
        found = InvertingGradients(iterations=100, labels="joint")(observations, np.random.default_rng(0))
        assert found[0].labels.tolist() == y[0].tolist()

    def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(self):
        observations, _, _ = victims("lenet", 2)
        attack = InvertingGradients(iterations=30, restarts=1)
        whole = attack.search(stack(observations), np.random.default_rng(0)).run()
        first = attack.search(stack(observations), np.random.default_rng(0)).run(until=13)
        later = attack.search(stack(observations), np.random.default_rng(9)).restore(first.state()).run()
        assert torch.equal(whole.best_x, later.best_x)
        assert torch.equal(whole.best, later.best)

    def test_more_starts_never_end_with_a_higher_loss(self):
        observations, _, _ = victims("lenet", 2)
        attack = InvertingGradients(iterations=40, restarts=2)
        search = attack.search(stack(observations), np.random.default_rng(0)).run()
        assert torch.equal(search.result().loss, search.best.reshape(2, 3).amin(1))

    def test_it_ends_early_when_nothing_gets_better(self):
        observations, _, _ = victims("lenet", 1)
        attack = InvertingGradients(iterations=400, rate=1e-6, patience=5, start="uniform")
        search = attack.search(stack(observations), np.random.default_rng(0))
        search.x = search.x * 0.0 + 0.5
        search.priors = [(1e6, lambda x: (x - 0.5).square().flatten(1).sum(1))]
        search.run()
        assert len(search.trace) < 40

    def test_results_lie_in_the_range_of_the_inputs(self):
        observations, _, _ = victims("lenet", 1)
        shifted = [replace(one, low=-1.0, high=0.25) for one in observations]
        found = InvertingGradients(iterations=10)(shifted, np.random.default_rng(0))[0]
        assert float(found.inputs.min()) >= -1.0
        assert float(found.inputs.max()) <= 0.25


class TestGradInversion:
    def test_it_uses_the_statistics_that_the_model_keeps(self):
        torch_model = nn.Sequential(
            *(nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.Sigmoid(), nn.Flatten(), nn.Linear(96, 10))
        )
        networks.initialise(torch_model, np.random.default_rng(0))
        torch_model.eval()
        x, y = smooth(2)
        found = GradInversion(iterations=60, restarts=1)([observe(torch_model, x, y)], np.random.default_rng(0))[0]
        assert found.inputs.shape == x.shape
        assert np.isfinite(found.score)

    def test_the_buffers_of_one_step_give_the_statistics_of_the_batch_away(self):
        model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10)).train()
        networks.initialise(model, np.random.default_rng(0))
        x, y = smooth(4)
        one = observe(model, x, y, LocalTraining(learning_rates=(0.1,)))
        prior, index = NormStatistics(stack([one])), torch.tensor([0])
        assert float(prior(x[None], index)) < 1e-5
        assert float(prior(x[None] * 0.5, index)) > 1e-3

    def test_a_model_without_statistics_is_told_apart(self):
        observations, _, _ = victims("lenet", 1)
        with pytest.raises(Unsuited, match="no batch normalisation"):
            NormStatistics(stack(observations))


class TestGrnn:
    def test_its_generator_learns(self):
        observations, x, _ = victims("lenet", 1, 2)
        found = Grnn(iterations=60, restarts=0, width=4, noise=32)(observations, np.random.default_rng(0))[0]
        assert found.inputs.shape == x[0].shape
        assert set(found.labels.tolist()) <= set(range(10))
        assert found.score < 0.5 * found.trace[0]

    def test_it_refuses_table_rows(self):
        model = networks.build("mlp", (12,), 10, np.random.default_rng(0))
        x, y = records((12,), 2)
        with pytest.raises(Unsuited, match="table rows"):
            Grnn()([observe(model, x, y)], np.random.default_rng(0))


class TestPriors:
    def test_total_variation_is_the_mean_step_down_plus_the_mean_step_across(self):
        x = torch.arange(6.0).reshape(1, 1, 1, 2, 3)
        assert float(total_variation(x)) == pytest.approx(3.0 + 1.0)
        assert float(total_variation(torch.rand(1, 2, 7))) == 0.0

    def test_consistency_is_the_distance_to_the_mean_of_the_victims_own_guesses(self):
        x = torch.tensor([[[0.0]], [[2.0]], [[9.0]]])
        assert Consistency(torch.tensor([0, 0, 1]))(x).tolist() == [1.0, 1.0, 0.0]

    def test_outside_counts_only_what_leaves_the_range(self):
        observations, _, _ = victims("lenet", 1)
        x = torch.full((1, 1, *SHAPE), 0.5)
        x[0, 0, 0, 0, 0] = 1.5
        assert float(Outside(stack(observations))(x)) == pytest.approx(0.25)


class TestDistances:
    @pytest.mark.parametrize("kind", ["l2", "cosine", "l1"])
    @pytest.mark.parametrize("layers", ["equal", "early", "balanced"])
    def test_they_are_zero_at_the_target_and_free_of_scale(self, kind, layers):
        generator = torch.Generator().manual_seed(0)
        shapes = {"a.weight": (2, 3, 4), "a.bias": (2, 3), "b.weight": (2, 5)}
        target = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        found = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        distance = Distance(kind, layers)
        scaled = distance({k: 7 * v for k, v in found.items()}, {k: 7 * v for k, v in target.items()})
        assert float(distance(target, target).abs().max()) < 1e-6
        assert torch.allclose(distance(found, target), scaled, rtol=1e-4)


class TestGrouping:
    def test_observations_of_different_kinds_come_back_in_their_order(self):
        some, _, _ = victims("lenet", 2)
        other, _, _ = victims("lenet", 1, 2)
        sizes = []

        def method(group):
            sizes.append(len(group))
            return [Dlg(evaluations=20, restarts=0)([one], np.random.default_rng(0))[0] for one in group.observations]

        found = solve([some[0], other[0], some[1]], "cpu", method)
        assert [len(one.inputs) for one in found] == [1, 2, 1]
        assert sizes == [2, 1]

    def test_an_update_that_does_not_fit_is_refused(self):
        observations, _, _ = victims("lenet", 1)
        shared = dict(observations[0].shared)
        name = next(iter(shared))
        with pytest.raises(Unsuited, match="does not match"):
            stack([replace(observations[0], shared=shared | {name: shared[name][:1]})])
        with pytest.raises(Unsuited, match="not finite"):
            stack([replace(observations[0], shared=shared | {name: shared[name] * torch.nan})])


class TestTheEndByLeastSquares:
    def test_inverting_gradients_is_exact_where_features_are_more_than_pixels(self):
        observation, x, y = victim(networks.build("cnn", (3, 16, 16), 10, np.random.default_rng(1)), 1, 1)
        attack = InvertingGradients(iterations=100, variation=1e-3)
        ended, plain = (
            each([observation], np.random.default_rng(0))[0] for each in (attack, replace(attack, finish=False))
        )
        assert matched(ended, x, y)[0].min() > 100 > matched(plain, x, y)[0].min()
        assert ended.score < plain.score
        assert (ended.note, plain.note) == (FINISHED, "")
