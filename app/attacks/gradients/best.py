"""What a search has found so far."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import Reconstruction
from app.attacks.gradients.victims import Victims

POINTS = 50
"""Points of a trace."""


@dataclass
class Best:
    """The guess with the lowest loss that was seen for each of V victims."""

    x: Tensor
    """(V, B, ...) in model space."""
    y: Tensor
    """(V, B, K): label probabilities."""
    loss: Tensor
    """(V,)."""
    trace: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, victims: Victims) -> "Best":
        """Nothing yet."""
        like, one = victims.mean, victims.first
        x = like.new_zeros(len(victims), one.records, *one.input_shape)
        y = like.new_zeros(len(victims), one.records, one.classes)
        return cls(x, y, like.new_full((len(victims),), torch.inf))

    def offer(self, index: Tensor, x: Tensor, y: Tensor, loss: Tensor) -> None:
        """Keep what is better; several offers may be for the same victim."""
        order = torch.where(loss.isfinite(), loss, torch.inf).argsort(descending=True, stable=True)
        for row in order.tolist():
            victim = int(index[row])
            if bool(loss[row] < self.loss[victim]):
                self.loss[victim], self.x[victim], self.y[victim] = loss[row], x[row].detach(), y[row].detach()

    def note(self) -> None:
        """Add a point to the trace."""
        self.trace.append(self.loss.clone())

    def reconstructions(self, victims: Victims, note: str = "") -> list[Reconstruction]:
        """What the attack believes of every victim."""
        x, labels = victims.outside(self.x), self.y.argmax(2)
        kept = np.linspace(0, len(self.trace) - 1, min(POINTS, len(self.trace))).astype(int)
        traces = torch.stack([self.trace[turn] for turn in kept], 1).tolist() if len(kept) else [[]] * len(victims)
        return [
            Reconstruction(x[row].clone(), labels[row].clone(), float(self.loss[row]), tuple(traces[row]), note)
            for row in range(len(victims))
        ]
