"""SGD and Adam for stacked tensors: every model of the stack takes the step that it would take alone."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.training.recipe import Recipe
from app.training.stack import Weights

EVERY = slice(None)


class Optimiser(ABC):
    """Changes stacked parameters in place; what it remembers has the axis of models too."""

    def __init__(self, parameters: Weights, recipe: Recipe) -> None:
        """Begin with nothing remembered; `parameters` (name -> (M, ...)) are the tensors that steps change."""
        self.parameters = parameters
        self.recipe = recipe
        self.rate = recipe.rate

    def step(self, gradients: Weights, models: slice = EVERY) -> None:
        """One step of the models in the slice; `gradients` are name -> (models, ...)."""
        self.begin(models)
        for name, gradient in gradients.items():
            self.move(name, gradient, models)

    def begin(self, models: slice) -> None:  # noqa: B027 (most optimisers count nothing)
        """A new step of the models in the slice begins."""

    @abstractmethod
    def move(self, name: str, gradient: Tensor, models: slice) -> None:
        """Move one tensor of the models in the slice."""

    def move_by_product(self, name: str, left: Tensor, right: Tensor, models: slice) -> None:
        """Move a tensor whose gradient is the batched product `left` (k, a, B) @ `right` (k, B, b)."""
        self.move(name, torch.bmm(left, right), models)


class Sgd(Optimiser):
    """`torch.optim.SGD` with momentum and weight decay, without dampening."""

    def __init__(self, parameters: Weights, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        self.velocity = {name: torch.zeros_like(p) for name, p in parameters.items()} if recipe.momentum else {}

    def move(self, name: str, gradient: Tensor, models: slice) -> None:
        """The update: v = momentum v + g + decay w; w = w - rate v."""
        weight = self.parameters[name][models]
        if not self.velocity:
            weight.mul_(1.0 - self.rate * self.recipe.weight_decay).add_(gradient, alpha=-self.rate)
            return
        velocity = self.velocity[name][models].mul_(self.recipe.momentum).add_(gradient)
        self._follow(weight, velocity)

    def move_by_product(self, name: str, left: Tensor, right: Tensor, models: slice) -> None:
        """The product is added to the velocity, or to the weight, in the same pass that computes it."""
        weight, decay = self.parameters[name][models], self.recipe.weight_decay
        if not self.velocity:
            weight.baddbmm_(left, right, beta=1.0 - self.rate * decay, alpha=-self.rate)
            return
        velocity = self.velocity[name][models].baddbmm_(left, right, beta=self.recipe.momentum)
        self._follow(weight, velocity)

    def _follow(self, weight: Tensor, velocity: Tensor) -> None:
        if self.recipe.weight_decay:
            velocity.add_(weight, alpha=self.recipe.weight_decay)
        weight.add_(velocity, alpha=-self.rate)


class Adam(Optimiser):
    """`torch.optim.Adam` (Kingma & Ba, 2015, ICLR, algorithm 1) with its default moments 0.9 and 0.999."""

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, parameters: Weights, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        self.first = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.second = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.steps = np.zeros(len(next(iter(parameters.values()))))

    def begin(self, models: slice) -> None:
        """Models of different sizes have taken different numbers of steps, so each corrects its own bias."""
        self.steps[models] += 1.0
        steps = self.steps[models]
        is_common = bool((steps == steps[0]).all())
        self._corrections = self._corrected(steps[:1] if is_common else steps)

    def move(self, name: str, gradient: Tensor, models: slice) -> None:
        """The moments m and v are moving averages of g and g^2; w = w - rate m / (sqrt v + epsilon), bias-corrected."""
        weight, (one, two) = self.parameters[name][models], self.BETAS
        if self.recipe.weight_decay:
            gradient = gradient.add(weight, alpha=self.recipe.weight_decay)
        first = self.first[name][models].lerp_(gradient, 1.0 - one)
        second = self.second[name][models].mul_(two).addcmul_(gradient, gradient, value=1.0 - two)
        rates, roots = self._corrections
        if len(rates) == 1:
            scale = second.sqrt().div_(float(roots[0])).add_(self.EPSILON)
            weight.addcdiv_(first, scale, value=-float(rates[0]))
            return
        shape = (-1, *[1] * (weight.ndim - 1))
        scale = second.sqrt().div_(torch.from_numpy(roots).to(second).reshape(shape)).add_(self.EPSILON)
        weight.sub_(first.div(scale).mul_(torch.from_numpy(rates).to(first).reshape(shape)))

    def _corrected(self, steps: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The learning rate, and the root that divides the second moment's, after these numbers of steps."""
        one, two = self.BETAS
        return self.rate / (1.0 - one**steps), np.sqrt(1.0 - two**steps)


def optimiser(parameters: Weights, recipe: Recipe) -> Optimiser:
    """The optimiser that the recipe names, for these tensors."""
    return (Adam if recipe.optimiser == "adam" else Sgd)(parameters, recipe)
