import pytest
import torch
from torch import nn
from torch.nn import functional

from app.training import Stack, gradient_norms, memory, per_sample_gradients, perceptron, small_cnn


def one_at_a_time(module, x, y):
    """For every tensor the gradients (n, ...) of each record's own loss."""
    found = []
    for row in range(len(x)):
        loss = functional.cross_entropy(module(x[row : row + 1]), y[row : row + 1])
        found.append(torch.autograd.grad(loss, list(module.parameters())))
    names = [name for name, _ in module.named_parameters()]
    return {name: torch.stack([each[place] for each in found]) for place, name in enumerate(names)}


def collected(chunks):
    found = [slopes for _, slopes in chunks]
    return {name: torch.cat([each[name] for each in found]) for name in found[0]}


class TestPerSampleGradients:
    @pytest.mark.parametrize("make", [lambda: perceptron((2, 8, 8), 4, (16,)), lambda: small_cnn((2, 8, 8), 4, 4)])
    def test_they_equal_those_of_a_loop(self, images, make):
        x, y = images[0][:10], images[1][:10]
        stack = Stack.seeded(make, [3])

        found = collected(per_sample_gradients(stack.forward, stack.weights(0), x, y, rows=4))
        expected = one_at_a_time(stack.module(0), x, y)

        assert found.keys() == expected.keys()
        assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)

    def test_buffers_are_kept_out_and_names_choose(self, images):
        x, y = images
        stack = Stack.seeded(
            lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 4)), [3]
        )

        found = collected(per_sample_gradients(stack.forward, stack.weights(0), x, y, names=("3.bias",)))

        assert found.keys() == {"3.bias"}
        assert found["3.bias"].shape == (60, 4)

    def test_chunks_keep_to_the_memory_that_is_given(self, table, monkeypatch):
        monkeypatch.setattr(memory, "BUDGET", 100_000)
        stack = Stack.seeded(lambda: perceptron((12,), 4), [3])

        places = [part for part, _ in per_sample_gradients(stack.forward, stack.weights(0), *table)]

        per_row = memory.OVERHEAD * memory.FLOAT * stack.size
        assert max(part.stop - part.start for part in places) * per_row <= 100_000
        assert [part.start for part in places[1:]] == [part.stop for part in places[:-1]]
        assert places[-1].stop == 90


class TestGradientNorms:
    def test_the_closed_form_equals_the_norms_of_the_gradients(self, table):
        x, y = table
        stack = Stack.seeded(lambda: perceptron((12,), 4, (16, 8)), [3, 4])

        found = gradient_norms(stack, x, y)
        slopes = one_at_a_time(stack.module(1), x, y)

        for layer, number in enumerate((0, 2, 4)):
            both = torch.cat([slopes[f"{number}.{part}"].flatten(1) for part in ("weight", "bias")], dim=1)
            assert torch.allclose(found[1, :, layer], both.norm(dim=1), rtol=1e-4, atol=1e-6)

    def test_another_network_gets_the_norm_of_every_tensor(self, images):
        x, y = images[0][:9], images[1][:9]
        stack = Stack.seeded(lambda: small_cnn((2, 8, 8), 4, 4), [3, 4])

        found = gradient_norms(stack, x, y)
        slopes = one_at_a_time(stack.module(0), x, y)

        expected = torch.stack([slope.flatten(1).norm(dim=1) for slope in slopes.values()], dim=1)
        assert torch.allclose(found[0], expected, rtol=1e-4, atol=1e-6)
