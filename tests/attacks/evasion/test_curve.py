"""The security evaluation curve."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from app import metrics
from app.attacks.evasion.apgd import TargetedApgd
from app.attacks.evasion.base import FixedBudget, predictions
from app.attacks.evasion.carlini_wagner import CarliniWagner
from app.attacks.evasion.curve import SecurityCurve, evaluate, merged, sizes
from app.attacks.evasion.minimum_norm import MinimumNorm
from app.attacks.evasion.noise import UniformNoise
from app.attacks.evasion.norms import Norm
from app.attacks.evasion.pgd import Pgd
from tests.foolbox_peer import foolbox

PRESETS = [0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255, 16 / 255]
ATTACKS = [Pgd(steps=10, rel_stepsize=0.15), MinimumNorm(steps=10, targets=0), UniformNoise(repeats=3)]


def curve_of(task, attack, epsilons, norm=Norm.LINF, seed=0):
    return evaluate(attack, task.model, task.x, task.y, epsilons, norm, task.box, np.random.default_rng(seed))


def direct_pgd(task, epsilon, steps=20, share=0.1):
    """The smallest distance at which each iterate of a plain loop errs, one sample at a time; infinite if none does."""
    distance = np.full(len(task.x), np.inf)
    for row in range(len(task.x)):
        original, y = task.x[row : row + 1], task.y[row : row + 1]
        x = original.clone()
        for step in range(steps + 1):
            leaf = x.clone().requires_grad_(True)
            logits = task.model(leaf)
            if int(logits.argmax()) != int(y):
                distance[row] = float((x - original).abs().max())
                break
            functional.cross_entropy(logits, y).backward()
            if step < steps:
                x = x + share * epsilon * leaf.grad.sign()
                x = torch.clamp(original + torch.clamp(x - original, -epsilon, epsilon), 0.0, 1.0)
    return distance


class TestAgainstADirectAttack:
    def test_it_equals_a_loop_over_single_samples_to_the_sample(self, task):
        distances = [direct_pgd(task, epsilon) for epsilon in PRESETS[1:]]
        clean = ~task.right.numpy()
        truth = [
            int((~clean & ~np.any([d <= epsilon + 1e-6 for d in distances[: place + 1]], axis=0)).sum())
            for place, epsilon in enumerate(PRESETS[1:])
        ]
        curve = curve_of(task, Pgd(steps=20, rel_stepsize=0.1), PRESETS).curve

        assert curve.robust.tolist() == [int((~clean).sum()), *truth]
        assert truth[-1] < 0.8 * truth[0]

    @pytest.mark.parametrize("epsilon", PRESETS[1:])
    def test_what_ends_on_the_edge_of_the_ball_counts_at_that_epsilon(self, task, epsilon):
        """Adding rounds: a distance of 1/255 becomes 1/255 + 3e-8, and such an error must not count as robust."""
        edge = Pgd(steps=1, rel_stepsize=1.0)
        moved = (task.x + epsilon * torch.sign(_slopes(task))).clamp(0.0, 1.0)
        expected = int((predictions(task.model, moved) == task.y)[task.right].sum())

        assert curve_of(task, edge, [epsilon]).curve.robust[1] == expected

    def test_foolbox_breaks_no_sample_that_withstands_ours(self, task):
        peer = foolbox.attacks.LinfPGD(steps=20, rel_stepsize=0.1, random_start=False)
        wrapped, broken, counts = foolbox.PyTorchModel(task.model, bounds=(0, 1)), ~task.right, []
        for epsilon in PRESETS[1:]:
            broken = broken | peer(wrapped, task.x, task.y, epsilons=epsilon)[2]
            counts.append(int((~broken).sum()))
        curve = curve_of(task, Pgd(steps=20, rel_stepsize=0.1), PRESETS).curve

        # Ours counts every iterate, Foolbox the last one only.
        assert (curve.robust[1:] <= counts).all()
        assert (np.array(counts) - curve.robust[1:]).max() <= 1


def _slopes(task):
    leaf = task.x.clone().requires_grad_(True)
    functional.cross_entropy(task.model(leaf), task.y, reduction="sum").backward()
    return leaf.grad


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)
class TestEvaluate:
    def test_the_curve_falls_and_starts_at_the_clean_accuracy(self, attack, task):
        curve = curve_of(task, attack, [0.2, 0.05, 0.1]).curve

        assert curve.epsilons.tolist() == [0.0, 0.05, 0.1, 0.2]
        assert curve.robust[0] == int(task.right.sum())
        assert (np.diff(curve.robust) <= 0).all()
        assert curve.robust[-1] < curve.robust[0]

    def test_the_order_of_the_epsilons_does_not_matter(self, attack, task):
        first, second = curve_of(task, attack, [0.2, 0.0, 0.03, 0.2]), curve_of(task, attack, [0.03, 0.2])

        assert first.curve.robust.tolist() == second.curve.robust.tolist()

    def test_its_inputs_prove_it(self, attack, task):
        result = curve_of(task, attack, [0.05, 0.15])
        broken = np.isfinite(result.curve.distance)
        error = (predictions(task.model, result.adversarial) != task.y).numpy()
        distance = Norm.LINF.distance(result.adversarial - task.x).numpy()

        assert (error == broken).all()
        assert np.allclose(distance[broken], result.curve.distance[broken], atol=1e-6)
        assert (distance[~broken] == 0.0).all()
        assert (np.isnan(result.epsilon) == ~broken).all()
        if isinstance(attack, FixedBudget):
            assert set(result.epsilon[broken].tolist()) <= {0.0, 0.05, 0.15}

    def test_without_inputs_it_is_zero(self, attack, task):
        result = evaluate(
            attack, task.model, task.x[:0], task.y[:0], [0.1], Norm.LINF, task.box, np.random.default_rng(0)
        )

        assert result.curve.accuracy.tolist() == [0.0, 0.0]
        assert result.curve.value == 0.0


class TestOneRun:
    def test_a_model_that_is_never_right_has_accuracy_zero(self, task):
        wrong = (task.model(task.x).argmax(1) + 1) % 10
        curve = evaluate(
            Pgd(steps=2), task.model, task.x, wrong, [0.1], Norm.LINF, task.box, np.random.default_rng(0)
        ).curve

        assert curve.accuracy.tolist() == [0.0, 0.0]
        assert (curve.value, curve.level) == (0.0, "low")

    def test_one_minimum_distance_run_is_below_pgd_everywhere(self, task):
        grid = np.linspace(0.0, 0.2, 9)
        ours = curve_of(task, MinimumNorm(), grid).curve
        theirs = curve_of(task, Pgd(steps=40, rel_stepsize=1 / 30), grid).curve

        assert (ours.robust <= theirs.robust).all()
        assert ours.robust.sum() < theirs.robust.sum()

    def test_it_is_as_low_as_a_long_targeted_attack_at_each_size(self, task):
        """What it costs: about 60 gradients for each sample, where these runs take 200 a size."""
        grid = np.linspace(0.04, 0.2, 5)
        ours = curve_of(task, MinimumNorm(), grid).curve
        theirs = curve_of(task, TargetedApgd(steps=50, targets=4), grid).curve

        assert (ours.robust - theirs.robust).max() <= 1
        assert ours.robust.sum() <= theirs.robust.sum() + 1

    @pytest.mark.parametrize("norm", list(Norm))
    def test_errors_just_beyond_a_listed_size_are_drawn_under_it(self, norm, task):
        widest = {Norm.LINF: 0.2, Norm.L2: 1.0, Norm.L1: 4.0}[norm]
        grid = np.linspace(0.0, widest, 60)
        plain, drawn = (
            curve_of(task, MinimumNorm(steps=8, targets=1, polish_steps=steps), grid, norm).curve for steps in (0, 20)
        )

        assert (drawn.robust <= plain.robust).all()
        assert drawn.robust.sum() < plain.robust.sum()

    def test_carlini_and_wagner_gives_a_curve_of_distances(self, task):
        result = curve_of(task, CarliniWagner(steps=20, stepsize=0.1), [0.2, 0.5, 1.0, 2.0], Norm.L2)

        assert (np.diff(result.curve.robust) <= 0).all()
        assert result.curve.robust[-1] == 0

    def test_it_refuses_sizes_that_are_none(self, task):
        with pytest.raises(ValueError, match="finite and not negative"):
            curve_of(task, Pgd(), [0.1, -0.1])


class TestSecurityCurve:
    curve = SecurityCurve(np.array([0.0, 0.1, 0.2]), np.array([0.0, 0.1 * (1 + 5e-7), 0.15, np.inf]))

    def test_it_counts_what_is_beyond_epsilon(self):
        assert self.curve.robust.tolist() == [3, 2, 1]
        assert self.curve.accuracy.tolist() == [0.75, 0.5, 0.25]

    def test_its_intervals_are_wilsons(self):
        assert list(zip(self.curve.low, self.curve.high, strict=True)) == [metrics.wilson(k, 4) for k in (3, 2, 1)]

    def test_its_value_is_relative_to_the_clean_accuracy(self):
        assert self.curve.value == pytest.approx(0.5 / 0.75)
        assert self.curve.level == "high"

    @pytest.mark.parametrize(
        ("distances", "level"),
        [([0.05], "medium"), ([0.0], "low"), ([np.inf], "high"), ([0.05] * 99 + [0.15], "medium")],
    )
    def test_the_level_is_a_word_for_the_value(self, distances, level):
        curve = SecurityCurve(np.array([0.0, 0.1]), np.array(distances))

        assert curve.level == level

    def test_merging_keeps_the_worst_case(self):
        other = SecurityCurve(np.array([0.0, 0.3]), np.array([np.inf, np.inf, 0.05, 0.3]))
        both = merged(self.curve, other)

        assert both.epsilons.tolist() == [0.0, 0.1, 0.2, 0.3]
        assert both.distance.tolist() == [0.0, self.curve.distance[1], 0.05, 0.3]

    def test_only_the_same_inputs_can_be_merged(self):
        with pytest.raises(ValueError, match="cannot be merged"):
            merged(self.curve, SecurityCurve(np.zeros(1), np.zeros(3)))


class TestSizes:
    def test_zero_is_added_and_repeats_go(self):
        assert sizes([0.2, 0.1, 0.2]).tolist() == [0.0, 0.1, 0.2]
