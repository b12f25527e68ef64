from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.dlg import Dlg
from app.attacks.gradients.gauss_newton import Whitening, descend, fits, normal, residuals
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.optimisers import Lbfgs
from app.attacks.gradients.victims import stack
from tests.attacks.gradients.observations import observe, records

SHAPE = (1, 8, 8)


def tangle(size=12, spread=3.0):
    """Residuals of two problems that are not linear, as stretched as 10^spread, and the points where they vanish."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(2, 2 * size, size, generator=generator, dtype=torch.float64))[0]
    stretch = torch.logspace(0, -spread, size, dtype=torch.float64)
    true = 0.5 * torch.randn(2, size, generator=generator, dtype=torch.float64)

    def found(x, index):
        inner = x + 0.1 * x.roll(1, 1) ** 2
        return torch.einsum("pmn,n,pn->pm", turn[index], stretch, inner)

    return lambda x, index: found(x, index) - found(true[index], index), true


def squares(some):
    def evaluate(x, index):
        x = x.detach().requires_grad_()
        value = some(x, index).square().sum(1)
        return value.detach(), torch.autograd.grad(value.sum(), x)[0]

    return evaluate


class TestTheMatrix:
    def test_it_is_that_of_the_derivatives(self):
        some, true = tangle()
        point = true[1] + 0.1
        slopes = torch.autograd.functional.jacobian(lambda x: some(x[None], torch.tensor([1]))[0], point)
        assert torch.allclose(
            normal(lambda x: some(x[None], torch.tensor([1]))[0], point), slopes.T @ slopes, atol=1e-6
        )

    def test_one_whitened_step_solves_what_is_linear_for_every_problem(self):
        generator = torch.Generator().manual_seed(0)
        matrix = torch.randn(3, 20, 8, generator=generator, dtype=torch.float64)
        true = torch.randn(3, 8, generator=generator, dtype=torch.float64)
        index = torch.tensor([2, 0])

        def linear(x, which):
            return torch.einsum("pmn,pn->pm", matrix[which], x - true[which])

        start = torch.zeros(2, 8, dtype=torch.float64)
        whitening = Whitening.at(linear, start, index, torch.tensor([1e-14, 1e-14]))
        _, gradient = squares(linear)(start, index)
        assert torch.allclose(whitening.outside(-whitening.slope(gradient)), true[index], atol=1e-9)

    @pytest.mark.parametrize("seen", [0.0, 1.0, torch.nan])
    def test_what_no_residual_depends_on_is_left_alone(self, seen):
        some = lambda x, index: seen * x[:, :1].expand(-1, 3)  # noqa: E731
        start, index = torch.ones(1, 4), torch.tensor([0])
        whitening = Whitening.at(some, start, index, 0.0 if seen == 0.0 else 1e-12)
        moved = whitening.outside(-whitening.slope(torch.tensor([[6.0 * seen, 0.0, 0.0, 0.0]]).nan_to_num()))
        assert torch.allclose(moved, torch.tensor([[0.0 if seen == 1.0 else 1.0, 1.0, 1.0, 1.0]]), atol=1e-5)


class TestDescend:
    def test_it_goes_further_than_l_bfgs_does_in_three_times_as_many_evaluations(self):
        some, true = tangle()
        index, start = torch.arange(2), true + 0.02
        points, values = descend(squares(some), some, start, index, turns=15)
        assert float((points - true).abs().max()) < 1e-2
        assert torch.allclose(values, some(points, index).square().sum(1), atol=1e-12)
        plain = Lbfgs(start, 30)
        for _ in range(45):
            plain.tell(*squares(some)(plain.ask(), index))
        assert bool((values < 0.01 * plain.value).all())

    def test_it_ends_where_all_are_solved(self):
        some, true = tangle()
        turns = []

        def evaluate(x, index):
            turns.append(len(x))
            return squares(some)(x, index)

        _, values = descend(evaluate, some, true + 0.02, torch.arange(2), turns=30, solved=1e-6)
        assert float(values.max()) <= 1e-6
        assert len(turns) < 30


def victims(training=None):
    model = networks.build("lenet", SHAPE, 10, np.random.default_rng(0))
    x, y = records(SHAPE, 4)
    return [observe(model, x[at : at + 2], y[at : at + 2], training) for at in (0, 2)]


class TestResiduals:
    @pytest.mark.parametrize("training", [None, LocalTraining(epochs=2, momentum=0.9)])
    @pytest.mark.parametrize("layers", ["equal", "early"])
    def test_their_squares_sum_to_the_distance(self, training, layers):
        matching = Matching(stack(victims(training)), Distance("l2", layers))
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(3, 2, *SHAPE, generator=generator)
        y = torch.randn(3, 2, 10, generator=generator).softmax(2)
        index = torch.tensor([1, 0, 1])
        found = residuals(matching, x, y, index)
        assert torch.allclose(found.square().sum(1), matching.values(x, y, index), rtol=1e-4)

    def test_factors_that_are_too_large_and_other_distances_do_not_fit(self):
        matching = Matching(stack(victims()), Distance("l2"))
        assert fits(matching, 128)
        assert not fits(matching, 9000)
        assert not fits(replace(matching, memory=1000), 128)
        assert not fits(replace(matching, distance=Distance("cosine")), 128)


class TestDlg:
    def test_least_squares_take_the_search_further_in_as_many_evaluations(self):
        observations = victims()
        found, plain = (
            Dlg(evaluations=80, restarts=0, solved=1e-10, ripe=ripe)(observations, np.random.default_rng(0))
            for ripe in (1e-4, 0.0)
        )
        assert max(one.score for one in found) <= 1e-10 < max(one.score for one in plain)
