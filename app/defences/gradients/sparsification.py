"""Top-k sparsification: only the largest numbers are sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Shared, size
from app.parameters import parameter


@dataclass(frozen=True)
class TopK(GradientDefence):
    """Keeps the largest numbers by their size, over all layers together, and sends 0 for the rest."""

    title: ClassVar[str] = "Top-k sparsification"
    source: ClassVar[str] = (
        "Aji and Heafield, 2017, EMNLP, section 3 (gradient dropping), as a defence in Zhu, Liu and Han, 2019, "
        "NeurIPS, section 5.2; without accumulation of what was dropped, because there is one round"
    )

    strength: float = parameter(0.9, "Share of the numbers that are dropped.", minimum=0.0, maximum=0.9999)

    def transform(self, shared: Mapping[str, Tensor], generator: torch.Generator) -> Shared:
        """The gradient without its small numbers; differentiable in those that stay."""
        kept = max(1, round((1.0 - self.strength) * size(shared)))
        sizes = torch.cat([values.detach().flatten().abs() for values in shared.values()])
        # The places, not a threshold: equal numbers at the threshold would all stay.
        chosen = torch.zeros_like(sizes).index_fill(0, sizes.topk(kept).indices, 1.0)
        masks = chosen.split([values.numel() for values in shared.values()])
        return {
            name: values * mask.reshape(values.shape)
            for (name, values), mask in zip(shared.items(), masks, strict=True)
        }
