from itertools import pairwise

import numpy as np
import torch

from app.attacks.gradients.least_squares import levenberg_marquardt

WIDE = (-1e9, 1e9)


def last(residuals, start, box, steps=60):
    return list(levenberg_marquardt(residuals, start, box, steps))[-1]


def drawn(*shape):
    return torch.tensor(np.random.default_rng(0).standard_normal(shape), dtype=torch.float64)


class TestLevenbergMarquardt:
    def test_linear_equations_are_solved_as_by_a_factorisation(self):
        matrix, wanted = drawn(30, 12), drawn(30)
        expected = torch.linalg.lstsq(matrix, wanted[:, None]).solution[:, 0]
        found = last(lambda x: matrix @ x - wanted, torch.zeros(12, dtype=torch.float64), WIDE)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)

    def test_points_keep_their_shape_and_every_step_helps(self):
        matrix = drawn(40, 6)

        def residuals(x):
            return torch.tanh(matrix @ x.flatten()) - torch.tanh(matrix.sum(1) * 0.3)

        start = torch.zeros(2, 3, dtype=torch.float64)
        points = [start, *levenberg_marquardt(residuals, start, WIDE, 40)]
        losses = [float(residuals(point).square().sum()) for point in points]
        assert all(after < before for before, after in pairwise(losses))
        torch.testing.assert_close(points[-1], torch.full_like(start, 0.3), rtol=1e-4, atol=1e-4)

    def test_the_curved_valley_of_rosenbrock_leads_to_its_end(self):
        def residuals(x):
            return torch.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])

        found = last(residuals, torch.tensor([-1.2, 1.0], dtype=torch.float64), WIDE, 200)
        torch.testing.assert_close(found, torch.ones(2, dtype=torch.float64), rtol=1e-4, atol=1e-4)

    def test_what_the_box_holds_back_is_best_inside_it(self):
        matrix = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
        wanted = torch.tensor([2.0, 1.0], dtype=torch.float64)
        found = last(lambda x: matrix @ x - wanted, torch.full((2,), 0.5, dtype=torch.float64), (0.0, 1.0))
        torch.testing.assert_close(found, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-6, rtol=0)

    def test_it_ends_where_no_step_helps(self):
        start = torch.ones(3, dtype=torch.float64)
        assert list(levenberg_marquardt(lambda x: 0.0 * x + 1.0, start, WIDE, 5)) == []
