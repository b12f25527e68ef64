"""SGD and Adam for stacked tensors: every model of the stack takes the step that it would take alone."""

import copy
from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import torch
from torch import Tensor

from app.training.recipe import Recipe
from app.training.stack import Weights

EVERY = slice(None)


class Optimiser(ABC):
    """Changes stacked parameters in place; what it remembers has the axis of models too.

    A step is `add` or `add_product` for every tensor, and then `end`.
    """

    def __init__(self, parameters: Weights, recipe: Recipe) -> None:
        """Begin with nothing remembered; `parameters` (name -> (M, ...)) are the tensors that steps change."""
        self.parameters = parameters
        self.recipe = recipe
        self.rate = recipe.rate

    def step(self, gradients: Weights, models: slice = EVERY) -> None:
        """One step of the models in the slice; `gradients` are name -> (models, ...)."""
        part = self.part(models)
        part.rate = self.rate
        for name, gradient in gradients.items():
            part.add(name, gradient)
        part.end()

    @abstractmethod
    def part(self, models: slice) -> Self:
        """The optimiser of some of the models, which works on the same memory; itself, if these are all."""

    @abstractmethod
    def add(self, name: str, gradient: Tensor) -> None:
        """Take the gradient of one tensor."""

    @abstractmethod
    def add_product(self, name: str, left: Tensor, right: Tensor, share: float) -> None:
        """Take a gradient that is `share` times the batched product `left` (M, a, B) @ `right` (M, B, b)."""

    @abstractmethod
    def end(self) -> None:
        """Move the parameters."""

    def _is_whole(self, models: slice) -> bool:
        count = len(next(iter(self.parameters.values())))
        return len(range(*models.indices(count))) == count


class Sgd(Optimiser):
    """`torch.optim.SGD` with momentum and weight decay, without dampening.

    The update: v = momentum v + g + decay w; w = w - rate v.
    """

    def __init__(self, parameters: Weights, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        self.velocity = {name: torch.zeros_like(p) for name, p in parameters.items()} if recipe.momentum else {}

    def part(self, models: slice) -> Self:
        """The velocities are shared too."""
        if self._is_whole(models):
            return self
        found = copy.copy(self)
        found.parameters, found.velocity = _of(self.parameters, models), _of(self.velocity, models)
        return found

    def add(self, name: str, gradient: Tensor) -> None:
        """To the velocity, or without momentum to the weight itself."""
        moved, keep, share = self._moved(name)
        moved.mul_(keep).add_(gradient, alpha=share)

    def add_product(self, name: str, left: Tensor, right: Tensor, share: float) -> None:
        """In the same pass that computes the product."""
        moved, keep, part = self._moved(name)
        moved.baddbmm_(left, right, beta=keep, alpha=part * share)

    def end(self) -> None:
        """With momentum, the weights follow the velocities."""
        for name, velocity in self.velocity.items():
            weight = self.parameters[name]
            if self.recipe.weight_decay:
                velocity.add_(weight, alpha=self.recipe.weight_decay)
            weight.add_(velocity, alpha=-self.rate)

    def _moved(self, name: str) -> tuple[Tensor, float, float]:
        """The tensor that a gradient goes into, what is kept of it, and the gradient's share."""
        if self.velocity:
            return self.velocity[name], self.recipe.momentum, 1.0
        return self.parameters[name], 1.0 - self.rate * self.recipe.weight_decay, -self.rate


class Adam(Optimiser):
    """`torch.optim.Adam` (Kingma & Ba, 2015, ICLR, algorithm 1) with its default moments 0.9 and 0.999."""

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, parameters: Weights, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        self.first, self.second, self.gradients = (
            {name: torch.zeros_like(p) for name, p in parameters.items()} for _ in range(3)
        )
        self.steps = np.zeros(len(next(iter(parameters.values()))), np.int64)

    def part(self, models: slice) -> Self:
        """The moments and the numbers of steps are shared too."""
        if self._is_whole(models):
            return self
        found = copy.copy(self)
        found.parameters, found.steps = _of(self.parameters, models), self.steps[models]
        found.first, found.second = _of(self.first, models), _of(self.second, models)
        found.gradients = _of(self.gradients, models)
        return found

    def add(self, name: str, gradient: Tensor) -> None:
        """Kept until the end, when all tensors are moved in one pass; a copy only if it lies otherwise in memory."""
        self.gradients[name] = gradient.contiguous()

    def add_product(self, name: str, left: Tensor, right: Tensor, share: float) -> None:
        """Kept likewise."""
        self.gradients[name].baddbmm_(left, right, beta=0.0, alpha=share)

    def end(self) -> None:
        """The moments m and v are moving averages of g and g^2; w = w - rate m / (sqrt v + epsilon), bias-corrected.

        Models of different sizes have taken different numbers of steps, so each corrects its own bias.
        """
        self.steps += 1
        if (self.steps == self.steps[0]).all():
            self._move(float(self.steps[0]))
            return
        # Runs of neighbours that have taken as many steps.
        ends = [*(np.flatnonzero(np.diff(self.steps)) + 1).tolist(), len(self.steps)]
        for low, high in zip([0, *ends[:-1]], ends, strict=True):
            some = self.part(slice(low, high))
            some._move(float(self.steps[low]))

    def _move(self, steps: float) -> None:
        """Torch's one pass over all arrays: what `torch.optim.Adam(fused=True)` calls."""
        weights = list(self.parameters.values())
        torch._fused_adam_(
            weights,
            list(self.gradients.values()),
            list(self.first.values()),
            list(self.second.values()),
            [],
            [torch.full((), steps, device=weights[0].device)] * len(weights),
            lr=self.rate,
            beta1=self.BETAS[0],
            beta2=self.BETAS[1],
            weight_decay=self.recipe.weight_decay,
            eps=self.EPSILON,
            amsgrad=False,
            maximize=False,
        )


def _of(tensors: Weights, models: slice) -> Weights:
    return {name: tensor[models] for name, tensor in tensors.items()}


def optimiser(parameters: Weights, recipe: Recipe) -> Optimiser:
    """The optimiser that the recipe names, for these tensors."""
    return (Adam if recipe.optimiser == "adam" else Sgd)(parameters, recipe)
