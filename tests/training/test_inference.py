import pytest
import torch
from torch import nn

from app.training import Stack, log_probabilities, logits, memory, perceptron, small_cnn
from app.training.multilayer import Multilayer


class TestLogits:
    @pytest.mark.parametrize("make", [lambda: perceptron((2, 8, 8), 4), lambda: small_cnn((2, 8, 8), 4, 4)])
    @pytest.mark.parametrize("bytes_", [1, 100_000, 1 << 30])
    def test_they_are_those_of_the_modules_however_little_memory_there_is(self, images, make, bytes_, monkeypatch):
        monkeypatch.setattr(memory, "BUDGET", bytes_)
        x, stack = images[0], Stack.seeded(make, range(3))

        with torch.no_grad():
            expected = torch.stack([stack.module(model)(x) for model in range(3)])

        assert torch.allclose(logits(stack, x), expected, atol=1e-5)
        own = torch.stack([x, x.flip(0), x])
        assert torch.allclose(logits(stack, own, is_own=True)[1], expected[1].flip(0), atol=1e-5)

    def test_no_records_give_no_logits(self):
        stack = Stack.seeded(lambda: perceptron((12,), 4), range(3))

        assert logits(stack, torch.empty(0, 12)).shape == (3, 0, 4)

    def test_log_probabilities_are_those_of_the_given_class(self, table):
        x, y = table
        stack = Stack.seeded(lambda: perceptron((12,), 4), range(2))

        expected = torch.log_softmax(logits(stack, x), 2)[:, torch.arange(len(y)), y]

        assert torch.allclose(log_probabilities(stack, x, y), expected, atol=1e-6)


class TestMultilayer:
    @pytest.mark.parametrize(
        "template",
        [
            nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)),
            nn.Sequential(nn.Linear(3, 3), nn.ReLU()),
            nn.Sequential(nn.Linear(3, 3, bias=False)),
            nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 2)),
            nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Dropout(), nn.Linear(3, 2)),
            nn.Linear(3, 2),
        ],
    )
    def test_only_plain_perceptrons_are_taken(self, template):
        assert Multilayer.of(template) is None

    def test_a_layer_that_stands_twice_is_left_to_autograd(self):
        layer = nn.Linear(3, 3)

        assert Multilayer.of(nn.Sequential(layer, nn.ReLU(), layer)) is None

    def test_a_hook_is_left_to_autograd(self):
        network = perceptron((3,), 2)
        network[0].register_forward_hook(lambda *_: None)

        assert Multilayer.of(network) is None

    def test_a_perceptron_is_taken(self):
        assert Multilayer.of(perceptron((1, 2, 2), 2, (3,))).layers == (
            ("1.weight", "1.bias"),
            ("3.weight", "3.bias"),
        )
