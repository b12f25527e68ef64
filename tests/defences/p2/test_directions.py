"""The poisoned direction: closed form and backward passes agree with gradients made one by one."""

import numpy as np
import pytest
import torch
from torch import nn

from app.defences.p2.directions import cosines, farthest, first_weight
from app.training import Stack, perceptron, small_cnn


def stack_of(make, models=2):
    return Stack.fresh(make, models, np.random.default_rng(0))


def records(shape, models=2, n=6, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(models, n, *shape, generator=generator), torch.randint(classes, (models, n), generator=generator)


def one_by_one(stack, x, y, names, classes):
    found = torch.empty(*y.shape, classes)
    for model in range(len(stack)):
        module = stack.module(model).requires_grad_(True)
        chosen = [parameter for name, parameter in module.named_parameters() if name in names]
        for row in range(y.shape[1]):
            slopes = []
            for label in range(classes):
                loss = nn.functional.cross_entropy(module(x[model, row][None]), torch.tensor([label]))
                slopes.append(torch.cat([each.flatten() for each in torch.autograd.grad(loss, chosen)]))
            for label in range(classes):
                found[model, row, label] = nn.functional.cosine_similarity(slopes[label], slopes[y[model, row]], 0)
    return found


MAKERS = {
    "perceptron": ((5,), lambda: perceptron((5,), 4, (7, 6))),
    "deeper without closed form": ((5,), lambda: nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))),
    "convolutions": ((1, 4, 4), lambda: small_cnn((1, 4, 4), 4, 3)),
}


@pytest.mark.parametrize("name", MAKERS)
class TestCosines:
    def test_they_equal_gradients_made_one_by_one(self, name):
        shape, make = MAKERS[name]
        stack = stack_of(make)
        x, y = records(shape)
        names = tuple(stack.parameters)
        assert torch.allclose(cosines(stack, x, y), one_by_one(stack, x, y, names, 4), atol=1e-5)

    def test_a_choice_of_layers_is_obeyed(self, name):
        shape, make = MAKERS[name]
        stack = stack_of(make)
        x, y = records(shape)
        for names in (first_weight(stack), tuple(stack.parameters)[1:3]):
            assert torch.allclose(cosines(stack, x, y, names), one_by_one(stack, x, y, names, 4), atol=1e-5)

    def test_for_two_classes_the_direction_is_the_flipped_label(self, name):
        shape, _ = MAKERS[name]
        make = {"perceptron": lambda: perceptron(shape, 2, (7,)), "convolutions": lambda: small_cnn(shape, 2, 3)}
        stack = stack_of(make.get(name, lambda: nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))))
        x, y = records(shape, classes=2, n=50)
        found = cosines(stack, x, y)
        assert torch.allclose(found.amin(-1), torch.tensor(-1.0), atol=1e-4)
        assert torch.equal(farthest(found, y, y), 1 - y)


class TestFarthest:
    def test_it_is_neither_the_true_nor_the_predicted_class(self):
        generator = torch.Generator().manual_seed(1)
        found = torch.rand(3, 40, 5, generator=generator) * 2 - 1
        y, predicted = torch.randint(5, (2, 3, 40), generator=generator)
        aim = farthest(found, y, predicted)
        assert ((aim != y) & (aim != predicted)).all()
        allowed = found.scatter(-1, y[..., None], 9.0).scatter(-1, predicted[..., None], 9.0)
        assert torch.equal(found.gather(-1, aim[..., None])[..., 0], allowed.amin(-1))

    def test_a_misclassified_record_of_two_classes_has_none(self):
        assert farthest(torch.tensor([[1.0, -1.0]]), torch.tensor([0]), torch.tensor([1])).tolist() == [-1]

    def test_unknown_layers_are_refused(self):
        x, y = records((5,))
        with pytest.raises(ValueError, match=r"no parameters 9\.weight"):
            cosines(stack_of(MAKERS["perceptron"][1]), x, y, ("9.weight",))
