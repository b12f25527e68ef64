"""Clipping of the finished gradient or update."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Shared, norm
from app.parameters import parameter


@dataclass(frozen=True)
class Clipping(GradientDefence):
    """Shortens the gradient to a bound; its direction stays, so attacks that compare directions lose nothing."""

    title: ClassVar[str] = "Clipping"
    source: ClassVar[str] = (
        "Pascanu, Mikolov and Bengio, 2013, ICML, algorithm 1: g C / max(|g|, C), over all layers together"
    )

    bound: float = parameter(0.1, "The greatest length of the gradient.", minimum=1e-6, maximum=1e6)

    def transform(self, shared: Mapping[str, Tensor], generator: torch.Generator) -> Shared:
        """The gradient, at most `bound` long; differentiable."""
        factor = self.bound / norm(shared).clamp_min(self.bound)
        return {name: values * factor for name, values in shared.items()}
