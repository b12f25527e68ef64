import torch

from app.attacks.gradients.optimisers import Adam, Lbfgs


def quadratics(problems=3, size=20):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(problems, size, size, generator=generator, dtype=torch.float64)
    return root @ root.mT + 0.1 * torch.eye(size), torch.randn(problems, size, generator=generator, dtype=torch.float64)


def minimise(optimiser, matrix, vector, turns):
    for _ in range(turns):
        point = optimiser.ask()
        product = (matrix @ point[..., None])[..., 0]
        optimiser.tell((0.5 * point * product - vector * point).sum(1), product - vector)


def residual(optimiser, matrix, vector):
    return ((matrix @ optimiser.point[..., None])[..., 0] - vector).norm(dim=1)


class TestLbfgs:
    def test_it_solves_every_problem(self):
        matrix, vector = quadratics()
        optimiser = Lbfgs(torch.zeros_like(vector), history=30)
        minimise(optimiser, matrix, vector, 90)
        assert float(residual(optimiser, matrix, vector).max()) < 1e-5

    def test_it_forgets_its_oldest_steps_and_still_gets_there(self):
        matrix, vector = quadratics()
        optimiser = Lbfgs(torch.zeros_like(vector), history=5)
        minimise(optimiser, matrix, vector, 200)
        assert float(residual(optimiser, matrix, vector).max()) < 1e-4

    def test_a_problem_alone_goes_the_same_way(self):
        matrix, vector = quadratics()
        together = Lbfgs(torch.zeros_like(vector), history=5)
        alone = Lbfgs(torch.zeros_like(vector[1:2]), history=5)
        minimise(together, matrix, vector, 40)
        minimise(alone, matrix[1:2], vector[1:2], 40)
        assert torch.allclose(together.point[1], alone.point[0], rtol=1e-8, atol=1e-10)

    def test_values_never_rise_and_points_that_are_no_numbers_are_refused(self):
        optimiser = Lbfgs(torch.full((2, 1), 4.0, dtype=torch.float64), history=3)
        last = torch.full((2,), torch.inf, dtype=torch.float64)
        for _ in range(60):
            point = optimiser.ask()
            # Beyond 5 the first problem is not defined; its slope drives it there.
            value = torch.where(point[:, 0] > 5.0, torch.nan, (point[:, 0] - torch.tensor([5.0, 1.0])).square())
            optimiser.tell(value, 2.0 * (point - torch.tensor([[5.0], [1.0]])))
            assert bool((optimiser.value <= last).all())
            last = optimiser.value
        assert float((optimiser.point[:, 0] - torch.tensor([5.0, 1.0])).abs().max()) < 1e-6

    def test_a_problem_without_a_way_down_is_stuck(self):
        optimiser = Lbfgs(torch.zeros(2, 3), history=3)
        for _ in range(40):
            point = optimiser.ask()
            optimiser.tell(torch.stack([point[0].abs().sum(), point[1].square().sum()]), torch.ones(2, 3))
        assert bool(optimiser.stuck[0])

    def test_it_goes_on_with_those_that_are_kept_and_begins_others_anew(self):
        matrix, vector = quadratics()
        optimiser = Lbfgs(torch.zeros_like(vector), history=30)
        minimise(optimiser, matrix, vector, 10)
        optimiser.take(torch.tensor([2, 0]))
        optimiser.begin(torch.tensor([True, False]), torch.ones(1, vector.shape[1], dtype=torch.float64))
        minimise(optimiser, matrix[[2, 0]], vector[[2, 0]], 90)
        assert float(residual(optimiser, matrix[[2, 0]], vector[[2, 0]]).max()) < 1e-5


class TestAdam:
    def test_it_moves_as_torch_does(self):
        generator = torch.Generator().manual_seed(0)
        variable = torch.nn.Parameter(torch.zeros(2, 3))
        reference = torch.optim.Adam([variable], 0.1)
        mine, point = Adam(), torch.zeros(2, 3)
        for _ in range(5):
            slope = torch.randn(2, 3, generator=generator)
            variable.grad = slope.clone()
            reference.step()
            point = point + mine.move(slope, 0.1)
        assert torch.allclose(point, variable.detach(), atol=1e-6)
