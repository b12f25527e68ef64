"""P2 as its authors' code defines it, with the faults mended that kept it from doing what it says."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.defences.p2.base import LAYERS, PostProtection, Progress, Shares, each_rows, silent, targets
from app.parameters import parameter
from app.training import Recipe, Stack, train


def distance(logits: Tensor, wanted: Tensor, epoch: int = 0) -> Tensor:
    """The sum over a batch (B, K) of the Euclidean distances between the predictions and the wanted ones."""
    return torch.linalg.vector_norm(logits.softmax(-1) - wanted, dim=-1).sum()


@dataclass(frozen=True)
class AsPublished(PostProtection):
    """Train each client's model towards its poisoned predictions, and nothing else."""

    title: ClassVar[str] = "P2, as published"
    source: ClassVar[str] = (
        "Poisoning as a Post-Protection: Mitigating Membership Privacy Leakage From Gradient and Prediction of "
        "Federated Models, 2025, IEEE TDSC, as its code defines it: direction by the first weight, bisection, 200 "
        "epochs of Adam on the distance to the poisoned predictions. Mended: all records are trained on, not the "
        "last batch, and a misclassified record is never pushed towards its error."
    )

    epsilon: float = parameter(0.1, "How far the confidence of a prediction may move.", minimum=0.0, maximum=1.0)
    layers: str = parameter("first", "Layers whose gradients are to be poisoned.", choices=LAYERS)
    epochs: int = parameter(200, "Passes over a client's records.", minimum=0, maximum=10_000)
    rate: float = parameter(3e-4, "Learning rate of Adam.", minimum=0.0, maximum=1.0)
    batch: int = parameter(128, "Records of one step.", minimum=1, maximum=100_000)
    is_shuffled: bool = parameter(False, "A new order in every epoch; the published code has none.")

    def protect(self, stack: Stack, shares: Shares, rng: np.random.Generator, progress: Progress = silent) -> Stack:
        """The models after the additional round."""
        wanted = targets(stack, shares, self.epsilon, self.layers)
        x = torch.cat([shares.x[rows] for rows in each_rows(shares.rows, shares.x.device)])
        ends = np.cumsum([len(rows) for rows in shares.rows])
        rows = np.split(np.arange(ends[-1]), ends[:-1])
        recipe = Recipe(
            self.epochs, self.batch, self.rate, momentum=0.0, optimiser="adam", is_shuffled=self.is_shuffled
        )
        y = torch.cat(wanted).to(x.dtype)
        return train(stack, x, y, rows, recipe, rng, distance, progress=progress)
