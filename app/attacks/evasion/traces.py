"""What happened along an attack, iteration by iteration, for the inspection of single samples."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Entry:
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    loss: Floats
    distance: Floats
    classes: NDArray[np.int64]
    scores: Floats


@dataclass
class Trace:
    """A recorder of loss, distance and highest logits per sample and iteration.

    An attack that is recorded goes on with samples that it has broken already, so that their path is complete.
    """

    samples: int
    top: int = 10
    """How many of the highest logits are kept, at most."""
    _entries: list[_Entry] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._length = np.zeros(self.samples, np.int64)

    def record(self, rows: Tensor, loss: Tensor, distance: Tensor, logits: Tensor) -> None:
        """Append one iteration of the samples `rows`: their loss (B,), distance (B,) and logits (B, K)."""
        index = rows.cpu().numpy()
        best = logits.detach().topk(min(self.top, logits.shape[1]), dim=1)
        scores, classes = _array(best.values), best.indices.cpu().numpy()
        self._entries.append(_Entry(index, self._length[index].copy(), _array(loss), _array(distance), classes, scores))
        self._length[index] += 1

    @property
    def loss(self) -> Floats:
        """(samples, iterations): what the attack made large; NaN where a sample was not worked on."""
        return self._collect("loss")

    @property
    def distance(self) -> Floats:
        """(samples, iterations): the distance from the original; NaN where a sample was not worked on."""
        return self._collect("distance")

    @property
    def scores(self) -> Floats:
        """(samples, iterations, top): the highest logits, the highest first; NaN where there is none."""
        return self._collect("scores")

    @property
    def classes(self) -> NDArray[np.int64]:
        """(samples, iterations, top): the classes of `scores`; -1 where there is none."""
        found = self._collect("classes")
        return np.where(np.isnan(found), -1, found).astype(np.int64)

    def _collect(self, name: str) -> Floats:
        depth = () if not self._entries else getattr(self._entries[0], name).shape[1:]
        whole = np.full((self.samples, int(self._length.max(initial=0)), *depth), np.nan)
        for entry in self._entries:
            whole[entry.rows, entry.columns] = getattr(entry, name)
        return whole


def _array(values: Tensor) -> Floats:
    return values.detach().to("cpu", torch.float64).numpy()
