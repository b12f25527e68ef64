import pytest
import torch
from torch import nn

from app.training import Stack, perceptron


def network():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.second = self.first

    def forward(self, x):
        return self.second(self.first(x).relu())


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).relu())


class TestStack:
    def test_seeds_give_what_torch_gives_after_manual_seed(self):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            expected = perceptron((3,), 2)

        stack = Stack.seeded(lambda: perceptron((3,), 2), [4, 5])

        assert torch.equal(stack.parameters["0.weight"][1], expected[0].weight)

    def test_the_global_generator_is_left_alone(self):
        before = torch.random.get_rng_state()

        Stack.seeded(lambda: perceptron((3,), 2), [4, 5])

        assert torch.equal(torch.random.get_rng_state(), before)

    @pytest.mark.parametrize(("make", "shape"), [(network, (2, 8, 8)), (Tied, (5,)), (Shared, (5,))])
    def test_a_module_answers_like_its_place_in_the_stack(self, make, shape):
        stack, x = Stack.seeded(make, [1, 2]), torch.linspace(-1, 1, 128 if len(shape) == 3 else 5).repeat(2)
        x = x.reshape(-1, *shape)

        assert torch.allclose(stack.module(1)(x), stack(x)[1], atol=1e-6)
        assert stack.module(1).training is False

    def test_the_template_holds_no_numbers_and_a_module_shares_none(self):
        stack = Stack.seeded(network, [1, 2])

        assert all(tensor.is_meta for tensor in stack.template.parameters())
        with torch.no_grad():
            stack.module(0)[0].weight.zero_()
        assert stack.parameters["0.weight"][0].abs().sum() > 0

    def test_models_are_taken_repeated_and_joined(self):
        stack = Stack.seeded(lambda: perceptron((3,), 2), range(3))

        assert torch.equal(stack.take([2, 0]).parameters["0.bias"], stack.parameters["0.bias"][[2, 0]])
        assert torch.equal(stack.repeated(2).parameters["0.bias"][1], stack.parameters["0.bias"][0])
        assert len(stack.joined(stack.take([1]))) == 4
        assert stack.size == 3 * 128 + 128 + 128 * 2 + 2

    def test_different_architectures_are_refused(self):
        with pytest.raises(ValueError, match="different architectures"):
            Stack.of([perceptron((3,), 2), perceptron((3,), 3)])
