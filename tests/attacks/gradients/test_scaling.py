import torch

from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.scaling import as_gradient, gradient_at, is_exact, residual, step_reach
from tests.attacks.gradients.exact_victims import mlp, trained, victim

OBSERVATION, X, Y = victim(mlp(8), 6, 0)


class TestAsGradient:
    def test_it_copies_a_gradient(self):
        found = as_gradient(OBSERVATION)
        found["1.weight"].zero_()

        assert float(OBSERVATION.shared["1.weight"].abs().sum()) > 0

    def test_one_step_with_momentum_and_decay_is_exactly_the_gradient(self):
        shared = trained(OBSERVATION, X, Y, LocalTraining(1, 0, (0.05,), momentum=0.9, weight_decay=0.01))

        assert is_exact(shared)
        assert residual(as_gradient(shared), OBSERVATION.shared) < 1e-4

    def test_many_small_steps_with_momentum_and_decay_are_nearly_the_gradient(self):
        shared = trained(OBSERVATION, X, Y, LocalTraining(5, 0, (1e-4,), momentum=0.9, weight_decay=0.1))

        assert not is_exact(shared)
        assert residual(as_gradient(shared), OBSERVATION.shared) < 0.03

    def test_momentum_lets_early_steps_reach_further(self):
        assert step_reach(LocalTraining(3, 0, (1.0,), momentum=0.5), 6) == (1.75, 1.5, 1.0)


class TestGradientAt:
    def test_it_gives_zeros_for_weights_that_the_loss_does_not_use(self):
        network = mlp(8)
        network.unused = torch.nn.Parameter(torch.ones(2))
        network.forward = lambda x: network[3](network[2](network[1](network[0](x))))
        observation, x, y = victim(network, 2, 0)

        assert gradient_at(observation, x, y)["unused"].tolist() == [0.0, 0.0]
