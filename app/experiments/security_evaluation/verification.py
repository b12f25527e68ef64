"""Checks every error of the report once more, apart from the attack that has found it.

The model is read from its file again and computes in double precision, in another order and in other batches, so that
neither what the attack left behind, nor rounding, nor a neighbour in the batch can make an error of what is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from app.experiments.security_evaluation.attacking import Findings
    from app.experiments.security_evaluation.target import Target

TOLERANCE = 1e-6
"""By how much, as a share of the input range, an error may leave the range or its distance: rounding, and no more."""
LONGEST = 64
"""Samples of one batch, at most."""


@dataclass(frozen=True)
class Verification:
    """What became of the reported errors, (n,) each; samples that are wrong as they are have none."""

    rows: NDArray[np.int64]
    """Their places among the chosen samples."""
    is_error: NDArray[np.bool_]
    """Still misclassified."""
    is_in_range: NDArray[np.bool_]
    is_in_reach: NDArray[np.bool_]
    """No further from the sample than the distance that is reported."""

    @property
    def holds(self) -> NDArray[np.bool_]:
        """(n,): which of them are proven."""
        return self.is_error & self.is_in_range & self.is_in_reach


def verify(found: Findings, fresh: Target, rng: np.random.Generator) -> Verification:
    """Look at all errors of `found` through `fresh`, the same model read once more."""
    distance, question = found.curve.distance, found.question
    rows = rng.permutation(np.flatnonzero(np.isfinite(distance) & (distance > 0.0)))
    x, moved = (tensor[torch.from_numpy(rows).to(tensor.device)].double() for tensor in (question.x, found.adversarial))
    slack = TOLERANCE * question.box.width
    outside = torch.maximum(question.box.low - moved, moved - question.box.high)
    length = question.norm.distance(moved - x).cpu().numpy()
    return Verification(
        rows,
        _classes(fresh, moved, rng) != question.y.cpu().numpy()[rows],
        (outside.flatten(1) <= slack).all(1).cpu().numpy(),
        length <= distance[rows] + slack,
    )


def _classes(model: Target, x: Tensor, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,): the classes of `x`, asked in batches of differing sizes."""
    model.model.double()
    classes, start = np.empty(len(x), np.int64), 0
    longest = max(1, min(LONGEST, model.batch(2 * x[0].numel()) // 2)) if len(x) else 1
    while start < len(x):
        end = start + int(rng.integers(1, longest + 1))
        with torch.no_grad():
            classes[start:end] = model(x[start:end]).argmax(1).cpu().numpy()
        start = end
    return classes
