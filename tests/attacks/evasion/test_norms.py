"""Distances, balls and steps."""

import pytest
import torch

from app.attacks.evasion.norms import Norm


@pytest.fixture
def delta():
    return torch.randn(40, 3, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("norm", list(Norm))
class TestProject:
    def test_it_ends_in_the_ball(self, norm, delta):
        assert bool((norm.distance(norm.project(delta, 0.7)) <= 0.7 + 1e-12).all())

    def test_it_leaves_what_is_inside_alone(self, norm, delta):
        small = delta * 0.5 / norm.distance(delta)[:, None, None, None]

        assert torch.allclose(norm.project(small, 0.6), small)

    def test_it_takes_a_radius_for_each_row(self, norm, delta):
        radius = torch.linspace(0.0, 2.0, 40, dtype=torch.float64)

        assert torch.allclose(norm.distance(norm.project(delta, radius)), torch.minimum(radius, norm.distance(delta)))

    def test_no_point_of_the_ball_is_closer(self, norm, delta):
        """The projection onto a convex set: the rest is at an obtuse angle to every way into the set."""
        near = norm.project(delta, 0.7)
        others = norm.random(delta, 0.7, torch.Generator().manual_seed(2))
        products = ((delta - near) * (others - near)).flatten(1).sum(1)

        assert bool((products <= 1e-9).all())


@pytest.mark.parametrize("norm", list(Norm))
class TestRandom:
    def test_points_fill_the_ball(self, norm):
        points = norm.random(torch.zeros(4000, 1, 2, 1), 0.5, torch.Generator().manual_seed(3))
        distance = norm.distance(points)

        assert float(distance.max()) <= 0.5 + 1e-6
        # In two dimensions a quarter of the area lies within half of the radius.
        assert float((distance < 0.25).float().mean()) == pytest.approx(0.25, abs=0.03)

    def test_equal_generators_draw_equal_points(self, norm, delta):
        first, second = (norm.random(delta, 1.0, torch.Generator().manual_seed(4)) for _ in range(2))

        assert torch.equal(first, second)


@pytest.mark.parametrize("norm", list(Norm))
class TestStep:
    def test_it_has_length_one_and_climbs(self, norm, delta):
        step = norm.step(delta)

        assert torch.allclose(norm.distance(step), torch.ones(40, dtype=torch.float64))
        assert bool(((step * delta).flatten(1).sum(1) > 0).all())

    def test_no_gradient_is_no_step(self, norm):
        assert bool((norm.step(torch.zeros(2, 1, 3, 3)) == 0.0).all())


class TestDual:
    def test_it_bounds_the_product(self, delta):
        other = delta.flip(0)
        for norm in Norm:
            product = (delta * other).flatten(1).sum(1).abs()
            assert bool((product <= norm.distance(delta) * norm.dual.distance(other) + 1e-9).all())
