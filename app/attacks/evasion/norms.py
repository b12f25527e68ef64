"""How far two inputs are apart: distances, balls and steps in the max, Euclidean and Manhattan norm."""

from enum import StrEnum

import torch
from torch import Tensor

TINY = 1e-12
"""Stands in for the length of a zero vector, so that dividing by it gives zero."""


class Norm(StrEnum):
    """A norm over all values of one input; tensors are batches (B, ...)."""

    LINF = "linf"
    L2 = "l2"
    L1 = "l1"

    @property
    def dual(self) -> "Norm":
        """The norm that bounds how much a linear function changes within a ball of this one."""
        return {Norm.LINF: Norm.L1, Norm.L2: Norm.L2, Norm.L1: Norm.LINF}[self]

    def distance(self, delta: Tensor) -> Tensor:
        """(B,): the length of each row of `delta`."""
        return torch.linalg.vector_norm(delta.flatten(1), ord=_ORDER[self], dim=1)

    def project(self, delta: Tensor, epsilon: Tensor | float) -> Tensor:
        """The nearest point, in the Euclidean sense, of each row's ball of radius `epsilon` (a number or (B,))."""
        radius = torch.as_tensor(epsilon, dtype=delta.dtype, device=delta.device)
        if self is Norm.LINF:
            bound = spread(radius, delta)
            return torch.minimum(torch.maximum(delta, -bound), bound)
        if self is Norm.L2:
            length = self.distance(delta)
            return delta * spread((radius / length.clamp_min(TINY)).clamp_max(1.0), delta)
        return _project_l1(delta, radius.expand(len(delta)))

    def step(self, gradient: Tensor) -> Tensor:
        """An ascent step of length 1: the sign of the gradient, or the gradient divided by its norm.

        A gradient of zero gives a step of zero. In the Manhattan norm this is the dense step of Foolbox, not the
        steepest one (a single value); the projection makes the perturbation sparse.
        """
        if self is Norm.LINF:
            return gradient.sign()
        return gradient / spread(self.distance(gradient).clamp_min(TINY), gradient)

    def random(self, like: Tensor, epsilon: Tensor | float, generator: torch.Generator) -> Tensor:
        """Points drawn uniformly from the ball of radius `epsilon` around zero, shaped as `like`."""
        radius = spread(torch.as_tensor(epsilon, dtype=like.dtype, device=like.device), like)
        if self is Norm.LINF:
            return (2.0 * _uniform(like, generator) - 1.0) * radius
        values = like[0].numel()
        reach = radius * _uniform(like.flatten(1)[:, :1], generator).pow(1.0 / values).reshape(_column(like))
        if self is Norm.L2:
            return self.step(normal(like, generator)) * reach
        # Exponential values with random signs, divided by their sum, are uniform on the sphere of the Manhattan norm.
        size = -torch.log1p(-_uniform(like, generator))
        return self.step(size * normal(like, generator).sign()) * reach


_ORDER = {Norm.LINF: float("inf"), Norm.L2: 2.0, Norm.L1: 1.0}


def spread(values: Tensor, like: Tensor) -> Tensor:
    """One value per row (or one for all), shaped so that it multiplies a batch such as `like`."""
    return values.reshape(_column(like)) if values.ndim else values


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal values, shaped as `like`."""
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def _column(like: Tensor) -> tuple[int, ...]:
    return (-1, *[1] * (like.ndim - 1))


def _project_l1(delta: Tensor, radius: Tensor) -> Tensor:
    """Soft thresholding at the level that makes the norm equal to the radius (Duchi et al., 2008, ICML, fig. 1)."""
    flat = delta.flatten(1)
    size = flat.abs()
    ordered = size.sort(dim=1, descending=True).values
    excess = ordered.cumsum(1) - radius[:, None]
    rank = torch.arange(1, flat.shape[1] + 1, device=delta.device, dtype=delta.dtype)
    count = (ordered * rank > excess).sum(1).clamp_min(1)
    level = excess.gather(1, count[:, None] - 1) / count[:, None]
    shrunk = flat.sign() * (size - level.clamp_min(0.0)).clamp_min(0.0)
    return shrunk.reshape(delta.shape)
