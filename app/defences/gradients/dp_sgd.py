"""DP-SGD: the gradient of every record is clipped on its own, and noise hides what one record can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Client, Shared
from app.defences.gradients.noise import normal
from app.parameters import parameter


@dataclass(frozen=True)
class DpSgd(GradientDefence):
    """Clips per record and adds normal noise to the sum, in every local step."""

    title: ClassVar[str] = "DP-SGD"
    source: ClassVar[str] = (
        "Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar and Zhang, 2016, CCS, algorithm 1: "
        "(sum of g_i / max(1, |g_i| / C) + N(0, strength^2 C^2)) / B; the batch is the client's, not a Poisson sample"
    )

    strength: float = parameter(
        0.1, "Noise multiplier: deviation of the noise as a share of the bound.", minimum=0.0, maximum=1e4
    )
    bound: float = parameter(1.0, "The greatest length of one record's gradient.", minimum=1e-6, maximum=1e6)

    def gradient(
        self,
        client: Client,
        parameters: Mapping[str, Tensor],
        records: tuple[Tensor, Tensor],
        generator: torch.Generator,
    ) -> Shared:
        """The mean of clipped gradients, with noise."""
        single = client.gradients(parameters, *records)
        flat = torch.cat([values.flatten(1) for values in single.values()], dim=1)
        factors = self.bound / flat.norm(dim=1).clamp_min(self.bound)
        count, deviation = len(records[1]), self.strength * self.bound
        return {
            name: (torch.tensordot(factors, values, 1) + deviation * normal(values[0], generator)) / count
            for name, values in single.items()
        }
