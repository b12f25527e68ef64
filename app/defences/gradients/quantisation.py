"""Quantisation: numbers are rounded to a few levels, down to their sign alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Shared
from app.parameters import parameter


@dataclass(frozen=True)
class Quantisation(GradientDefence):
    """Rounds every layer to levels between plus and minus its largest number, at random so that the mean is kept."""

    title: ClassVar[str] = "Stochastic quantisation"
    source: ClassVar[str] = (
        "Alistarh, Grubic, Li, Tomioka and Vojnović, 2017, NeurIPS, section 3.1 (QSGD); variant: scaled by the "
        "largest number of a layer instead of its length, as implementations do"
    )

    bits: int = parameter(4, "Bits of one number, its sign included.", minimum=2, maximum=16)

    def transform(self, shared: Mapping[str, Tensor], generator: torch.Generator) -> Shared:
        """The rounded gradient."""
        levels = 2 ** (self.bits - 1) - 1
        return {name: _rounded(values, levels, generator) for name, values in shared.items()}


@dataclass(frozen=True)
class Sign(GradientDefence):
    """Sends the sign of every number, and one mean size for each layer."""

    title: ClassVar[str] = "Sign"
    source: ClassVar[str] = (
        "Bernstein, Wang, Azizzadenesheli and Anandkumar, 2018, ICML, algorithm 1 (signSGD), with the scale of "
        "Karimireddy, Rebjock, Stich and Jaggi, 2019, ICML, algorithm 1: |g|_1 / d"
    )

    def transform(self, shared: Mapping[str, Tensor], generator: torch.Generator) -> Shared:
        """The signs of each layer times the mean size of its numbers."""
        return {name: values.sign() * values.abs().mean() for name, values in shared.items()}


def _rounded(values: Tensor, levels: int, generator: torch.Generator) -> Tensor:
    largest = values.abs().max()
    scaled = values / largest.clamp_min(torch.finfo(values.dtype).tiny) * levels
    chance = torch.rand(values.shape, generator=generator, device=generator.device, dtype=values.dtype)
    return (scaled + chance.to(values.device)).floor() / levels * largest
