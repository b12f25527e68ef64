"""Noise on the finished gradient or update."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Shared, norm, size
from app.parameters import parameter


@dataclass(frozen=True)
class GaussianNoise(GradientDefence):
    """Adds independent normal noise, whose expected length is a multiple of the gradient's length."""

    title: ClassVar[str] = "Gaussian noise"
    source: ClassVar[str] = (
        "Zhu, Liu and Han, 2019, NeurIPS, section 5.1 (Deep Leakage from Gradients), who give the variance of a "
        "number; variant: relative to the gradient, which means the same for every model and batch"
    )

    strength: float = parameter(
        1.0, "Length of the noise as a share of the length of the gradient.", minimum=0.0, maximum=1e4
    )

    def transform(self, shared: Mapping[str, Tensor], generator: torch.Generator) -> Shared:
        """The gradient with noise."""
        deviation = self.strength * norm(shared) / math.sqrt(size(shared))
        return {name: values + deviation * normal(values, generator) for name, values in shared.items()}


@dataclass(frozen=True)
class LaplacianNoise(GradientDefence):
    """Adds independent Laplacian noise, whose expected length is a multiple of the gradient's length."""

    title: ClassVar[str] = "Laplacian noise"
    source: ClassVar[str] = (
        "Zhu, Liu and Han, 2019, NeurIPS, section 5.1, who give the variance of a number; "
        "variant: relative to the gradient"
    )

    strength: float = parameter(
        1.0, "Length of the noise as a share of the length of the gradient.", minimum=0.0, maximum=1e4
    )

    def transform(self, shared: Mapping[str, Tensor], generator: torch.Generator) -> Shared:
        """The gradient with noise."""
        # A Laplacian of scale b has variance 2 b^2.
        scale = self.strength * norm(shared) / math.sqrt(2 * size(shared))
        return {name: values + scale * laplacian(values, generator) for name, values in shared.items()}


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the shape, the type and the device of `like`."""
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def laplacian(like: Tensor, generator: torch.Generator) -> Tensor:
    """Laplacian numbers of scale 1: the difference of two exponential ones."""
    first, second = (
        torch.empty(like.shape, device=generator.device, dtype=like.dtype).exponential_(generator=generator)
        for _ in range(2)
    )
    return (first - second).to(like.device)
