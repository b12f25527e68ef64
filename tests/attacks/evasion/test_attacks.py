"""What every attack does, on a network that it can break."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn

from app.attacks.evasion.apgd import Apgd, TargetedApgd
from app.attacks.evasion.auto_attack import AutoAttack
from app.attacks.evasion.base import Box, FixedBudget, predictions
from app.attacks.evasion.carlini_wagner import CarliniWagner
from app.attacks.evasion.fab import Fab, onto_plane
from app.attacks.evasion.fmn import Fmn
from app.attacks.evasion.minimum_norm import MinimumNorm
from app.attacks.evasion.noise import UniformNoise
from app.attacks.evasion.norms import Norm
from app.attacks.evasion.pgd import Pgd
from app.attacks.evasion.square import Square
from app.attacks.evasion.traces import Trace
from app.parameters import as_json, describe, parse

EPSILON = {Norm.LINF: 0.15, Norm.L2: 0.9, Norm.L1: 3.0}
BUDGET = (
    Pgd(steps=20, rel_stepsize=0.1),
    Pgd(steps=10, rel_stepsize=0.2, loss="dlr", random_start=True, restarts=2),
    UniformNoise(repeats=20),
    Apgd(steps=20),
    Apgd(steps=20, loss="dlr"),
    TargetedApgd(steps=20, targets=3),
    Square(queries=150),
    AutoAttack(steps=20, targets=2, queries=50),
)
DISTANCE = (
    Fmn(steps=40),
    Fab(steps=10, targets=3),
    MinimumNorm(steps=15, targets=2),
    CarliniWagner(steps=20, stepsize=0.1),
)
EVERY = [(attack, norm) for attack in (*BUDGET, *DISTANCE) for norm in attack.norms]
NAMES = [f"{type(attack).__name__}-{getattr(attack, 'loss', '')}-{norm}" for attack, norm in EVERY]


def attacked(attack, task, norm, seed=3, **extra):
    rng = np.random.default_rng(seed)
    if isinstance(attack, FixedBudget):
        return attack.perturb(task.model, task.x, task.y, EPSILON[norm], norm, task.box, rng, **extra)
    return attack.minimise(task.model, task.x, task.y, norm, task.box, rng, **extra)


@pytest.mark.parametrize(("attack", "norm"), EVERY, ids=NAMES)
class TestEveryAttack:
    def test_it_lowers_the_accuracy_and_stays_feasible(self, attack, norm, task):
        before = task.x.clone()
        found = attacked(attack, task, norm)
        error = predictions(task.model, found) != task.y
        distance = norm.distance(found - task.x)

        assert torch.equal(task.x, before)
        assert found.shape == task.x.shape
        assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0
        if isinstance(attack, FixedBudget):
            assert float(distance.max()) <= EPSILON[norm] + 1e-6
        else:
            assert bool(((distance == 0.0) | error).all())
        within = error & (distance <= EPSILON[norm] + 1e-6)
        needed = 2 if isinstance(attack, UniformNoise) else 15
        assert int(within.sum()) >= int((~task.right).sum()) + needed

    def test_equal_seeds_give_equal_results(self, attack, norm, task):
        few = replace(task, x=task.x[:12], y=task.y[:12])

        assert torch.equal(attacked(attack, few, norm), attacked(attack, few, norm))

    def test_inputs_that_are_errors_already_stay(self, attack, norm, task):
        wrong = replace(task, x=task.x[:5], y=(task.model(task.x[:5]).argmax(1) + 1) % 10)

        assert torch.equal(attacked(attack, wrong, norm), wrong.x)

    def test_no_inputs_give_no_result(self, attack, norm, task):
        assert attacked(attack, replace(task, x=task.x[:0], y=task.y[:0]), norm).shape == (0, 1, 8, 8)

    def test_it_survives_a_model_without_gradient(self, attack, norm, task):
        weight = torch.ones((), requires_grad=True)  # Of a model that was not frozen: its logits have a gradient.
        flat = replace(task, model=lambda x: weight * task.model(x.detach()).round(), x=task.x[:6], y=task.y[:6])
        found = attacked(attack, flat, norm)

        assert bool(found.isfinite().all())

    def test_two_classes_and_flat_inputs_are_enough(self, attack, norm):
        x = torch.rand(20, 12, generator=torch.Generator().manual_seed(0))
        weights = torch.randn(12, 2, generator=torch.Generator().manual_seed(1))

        def model(inputs):
            return (inputs - 0.5) @ weights

        rng, y = np.random.default_rng(0), model(x).argmax(1)
        if isinstance(attack, FixedBudget):
            found = attack.perturb(model, x, y, 4 * EPSILON[norm], norm, Box(), rng)
        else:
            found = attack.minimise(model, x, y, norm, Box(), rng)

        assert int((predictions(model, found) != y).sum()) >= 10

    def test_its_parameters_can_be_described_and_read_back(self, attack, norm):
        cls = type(attack)

        assert all(field.help for field in describe(cls))
        assert parse(cls, as_json(attack)) == attack
        assert cls.title
        assert cls.source

    def test_it_tells_how_far_it_is(self, attack, norm, task):
        shares = []
        few = replace(task, x=task.x[:9], y=task.y[:9])
        attacked(attack, few, norm, progress=shares.append, batch=4)

        assert shares[-1] == 1.0
        assert all(0.0 <= share <= 1.0 + 1e-9 for share in shares)
        assert shares == sorted(shares)


class TestChunks:
    @pytest.mark.parametrize("attack", [Pgd(steps=10, rel_stepsize=0.1), MinimumNorm(steps=10, targets=0)], ids=type)
    def test_their_size_does_not_change_what_is_found(self, attack, task):
        whole, parts = attacked(attack, task, Norm.LINF), attacked(attack, task, Norm.LINF, batch=7)

        assert torch.allclose(whole, parts, atol=1e-5)


class TestVerification:
    def test_what_leaves_the_ball_is_put_back(self, task):
        class Cheat(Pgd):
            def search(self, problem, epsilon):
                return problem.x + 5.0

        found = attacked(Cheat(), task, Norm.L2)

        assert float(Norm.L2.distance(found - task.x).max()) <= EPSILON[Norm.L2] + 1e-6
        assert float(found.max()) <= 1.0

    def test_what_is_not_a_number_is_dropped(self, task):
        class Broken(Pgd):
            def search(self, problem, epsilon):
                return torch.full_like(problem.x, torch.nan)

        assert torch.equal(attacked(Broken(), task, Norm.LINF), task.x)

    def test_what_is_no_error_does_not_count_as_the_closest_one(self, task):
        class Wishful(Fmn):
            def search(self, problem):
                return problem.x + 1e-6

        assert torch.equal(attacked(Wishful(), task, Norm.LINF), task.x)


class TestRefusals:
    @pytest.mark.parametrize("epsilon", [-0.1, float("nan"), float("inf")])
    def test_it_refuses_an_epsilon_that_is_no_distance(self, epsilon, task, rng):
        with pytest.raises(ValueError, match="epsilon must be finite"):
            Pgd().perturb(task.model, task.x, task.y, epsilon, Norm.LINF, task.box, rng)

    def test_it_refuses_a_norm_that_it_does_not_know(self, task):
        with pytest.raises(ValueError, match="Square attack knows the norms linf, l2, not l1"):
            attacked(Square(), task, Norm.L1)

    def test_it_refuses_inputs_outside_of_the_box(self, task):
        with pytest.raises(ValueError, match="leave the range"):
            attacked(Pgd(), replace(task, box=Box(0.0, 0.5)), Norm.LINF)

    def test_it_refuses_labels_that_do_not_fit(self, task):
        with pytest.raises(ValueError, match="need as many labels"):
            attacked(Pgd(), replace(task, y=task.y[:3]), Norm.LINF)

    def test_it_refuses_an_empty_box(self):
        with pytest.raises(ValueError, match="empty or not finite"):
            Box(1.0, 1.0)


class TestPgd:
    def test_its_defaults_are_the_predecessors(self):
        assert as_json(Pgd()) | {"loss": "", "restarts": 0} == {
            "steps": 50,
            "rel_stepsize": 0.025,
            "abs_stepsize": 0.0,
            "random_start": False,
            "restarts": 0,
            "loss": "",
        }

    def test_an_absolute_step_replaces_the_relative_one(self, task):
        first = attacked(Pgd(steps=20, abs_stepsize=0.015), task, Norm.LINF)
        second = attacked(Pgd(steps=20, rel_stepsize=0.1), task, Norm.LINF)

        assert torch.allclose(first, second, atol=1e-6)

    def test_restarts_never_lose_what_was_found(self, task):
        def errors(restarts):
            found = attacked(Pgd(steps=5, rel_stepsize=0.2, restarts=restarts), task, Norm.LINF)
            return predictions(task.model, found) != task.y

        assert bool((errors(3) | ~errors(1)).all())


class TestCarliniWagner:
    def test_its_defaults_are_the_predecessors(self):
        assert as_json(CarliniWagner()) == {
            "steps": 100,
            "binary_search_steps": 9,
            "confidence": 0.0,
            "initial_const": 1e-3,
            "abort_early": False,
            "stepsize": 0.01,
        }

    def test_its_defaults_find_an_error_for_every_sample(self, task):
        """Most values of a digit lie at the edges of the box, where the tanh is flat."""
        found = attacked(CarliniWagner(), task, Norm.L2)

        assert bool((predictions(task.model, found) != task.y).all())

    def test_confidence_is_the_margin_of_what_it_finds(self, task):
        found = attacked(CarliniWagner(steps=20, stepsize=0.1, confidence=2.0), task, Norm.L2)
        moved = Norm.L2.distance(found - task.x) > 0
        logits = task.model(found)[moved]
        true = logits.gather(1, task.y[moved][:, None])[:, 0]

        assert int(moved.sum()) > 30
        assert bool((logits.amax(1) - true >= 2.0 - 1e-4).all())

    def test_stopping_early_finds_about_the_same(self, task):
        early, late = (
            Norm.L2.distance(attacked(CarliniWagner(steps=40, stepsize=0.1, abort_early=stop), task, Norm.L2) - task.x)
            for stop in (True, False)
        )

        assert float(early.median()) == pytest.approx(float(late.median()), rel=0.05)


class TestFab:
    @pytest.mark.parametrize("norm", list(Norm))
    def test_its_projection_is_the_shortest_step_to_the_plane(self, norm):
        """Against a linear or quadratic programme that SciPy solves for each row."""
        generator = torch.Generator().manual_seed(4)
        slope = torch.randn(12, 7, generator=generator, dtype=torch.float64)
        slope[:, 2] = 0.0
        x = torch.rand(12, 7, generator=generator, dtype=torch.float64)
        reach = torch.where(slope > 0, slope * (1 - x), -slope * x).sum(1)
        change = reach * torch.linspace(0.05, 0.95, 12, dtype=torch.float64)
        step = onto_plane(x, slope, change, norm, Box())

        assert bool(((x + step >= -1e-12) & (x + step <= 1 + 1e-12)).all())
        assert torch.allclose((slope * step).sum(1), change)
        shortest = [shortest_step(*rows, norm) for rows in zip(x.numpy(), slope.numpy(), change.numpy(), strict=True)]
        assert norm.distance(step).numpy() == pytest.approx(shortest, rel=1e-4)

    def test_it_goes_to_the_corner_where_the_box_does_not_reach_the_plane(self):
        x, slope = torch.tensor([[0.5, 0.25]]), torch.tensor([[1.0, -1.0]])

        for norm in Norm:
            assert onto_plane(x, slope, torch.tensor([9.0]), norm, Box()).tolist() == [[0.5, -0.25]]

    @pytest.mark.parametrize("norm", list(Norm))
    def test_it_finds_about_what_the_other_searches_find(self, norm, task):
        distances = [
            norm.distance(attacked(attack, task, norm) - task.x)[task.right]
            for attack in (Fab(steps=40), MinimumNorm(steps=40))
        ]

        assert float(distances[0].mean()) <= 1.05 * float(distances[1].mean())

    def test_random_starts_only_help(self, task):
        once, twice = (
            Norm.L2.distance(attacked(Fab(steps=10, targets=2, restarts=count), task, Norm.L2) - task.x)
            for count in (1, 2)
        )

        assert bool((twice <= once + 1e-6).all())
        assert float(twice.sum()) < float(once.sum())


def shortest_step(x, slope, change, norm):
    """The length of the shortest step that changes a linear function by `change` and stays in [0, 1]."""
    plane = optimize.LinearConstraint(slope[None], change, change)
    bounds = list(zip(-x, 1.0 - x, strict=True))
    if norm is Norm.L2:
        found = optimize.minimize(
            lambda step: step @ step, x * 0, jac=lambda step: 2 * step, bounds=bounds, constraints=plane,
            method="SLSQP", options={"ftol": 1e-12, "maxiter": 1000},
        )  # fmt: skip
        return float(np.linalg.norm(found.x))
    # Up and down parts of each value, and for the max norm the bound that all of them share.
    count = len(x)
    if norm is Norm.L1:
        cost, equal, limit, upper = np.ones(2 * count), np.r_[slope, -slope], None, None
        bounds = [(0, high) for _, high in bounds] + [(0, -low) for low, _ in bounds]
    else:
        cost, equal = np.r_[np.zeros(count), 1.0], np.r_[slope, 0.0]
        limit = np.vstack([np.c_[sign * np.eye(count), -np.ones(count)] for sign in (1, -1)])
        upper, bounds = np.zeros(2 * count), [*bounds, (0, 1)]
    return optimize.linprog(cost, limit, upper, equal[None], [change], bounds).fun


class TestMinimumDistanceOnALinearModel:
    """The closest error of two classes is known: the margin over the dual norm of the difference of the weights."""

    @pytest.mark.parametrize(
        ("attack", "norm", "share"),
        [
            *[(MinimumNorm(), norm, 1.01) for norm in Norm],
            *[(MinimumNorm(targets=0), norm, 1.01) for norm in Norm],
            *[(Fab(steps=5), norm, 1.01) for norm in Norm],
            *[(Fmn(steps=300, max_stepsize=0.3, min_stepsize=1e-4), norm, 1.01) for norm in Norm],
            (CarliniWagner(steps=200, stepsize=0.001), Norm.L2, 1.02),
        ],
        ids=lambda value: type(value).__name__ if not isinstance(value, Norm | float) else str(value),
    )
    def test_it_is_met_to_one_per_cent(self, attack, norm, share):
        generator = torch.Generator().manual_seed(2)
        weight = torch.randn(2, 20, generator=generator) * 3.0

        def model(inputs):
            return nn.functional.linear(inputs - 0.4, weight)

        x = 0.45 * torch.rand(30, 20, generator=generator) + 0.25
        logits = model(x)
        y = logits.argmax(1)
        slope = (weight[1] - weight[0])[None]
        exact = (logits[:, 0] - logits[:, 1]).abs() / norm.dual.distance(slope)
        # Wide enough not to matter, and not wider, because the tanh of Carlini and Wagner scales its steps by the box.
        box = Box(-1.0, 2.0) if norm is Norm.L2 else Box(-10.0, 10.0)
        found = attack.minimise(model, x, y, norm, box, np.random.default_rng(0))
        distance = norm.distance(found - x)

        assert bool((predictions(model, found) != y).all())
        assert bool((distance >= exact * 0.9999).all())
        assert float((distance / exact).max()) <= share


class TestTrace:
    def test_it_holds_the_whole_path_of_each_sample(self, task):
        trace = Trace(len(task.x))
        attacked(Pgd(steps=10, rel_stepsize=0.1), task, Norm.LINF, trace=trace, batch=16)
        worked_on = task.right.numpy()

        assert trace.loss.shape == trace.distance.shape == (60, 11)
        assert trace.scores.shape == trace.classes.shape == (60, 11, 10)
        assert np.isfinite(trace.loss[worked_on]).all()
        assert np.isnan(trace.loss[~worked_on]).all()
        assert (trace.distance[worked_on, 0] == 0.0).all()
        assert (trace.distance[worked_on, -1] <= EPSILON[Norm.LINF] + 1e-6).all()
        assert (trace.loss[worked_on, -1] > trace.loss[worked_on, 0]).all()
        assert (trace.classes[worked_on, 0, 0] == task.y.numpy()[worked_on]).all()

    def test_it_changes_nothing_about_who_is_broken(self, task):
        plain = attacked(Pgd(steps=10, rel_stepsize=0.1), task, Norm.LINF)
        traced = attacked(Pgd(steps=10, rel_stepsize=0.1), task, Norm.LINF, trace=Trace(60))

        assert torch.equal(predictions(task.model, plain) != task.y, predictions(task.model, traced) != task.y)

    @pytest.mark.parametrize(("attack", "norm"), EVERY, ids=NAMES)
    def test_every_attack_can_be_recorded(self, attack, norm, task):
        few, trace = replace(task, x=task.x[:4], y=task.y[:4]), Trace(4, top=3)
        attacked(attack, few, norm, trace=trace)

        assert trace.loss.shape[1] > 0
        assert trace.classes.shape[2] == 3
