"""Feature scaling that a single freak capture cannot spoil."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LIMIT = 5.0
"""Scaled values are clipped to this: real captures contain downloads a hundred times longer than the others."""


@dataclass(frozen=True)
class Scaler:
    """Centre and spread of each column of a training matrix."""

    centre: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def fitted(cls, X: NDArray) -> "Scaler":
        """Median and spread of the middle 80 % of each column; a column that is constant there has spread 1."""
        low, centre, high = np.percentile(X.astype(np.float64), (10, 50, 90), axis=0)
        spread = (high - low) / 2
        return cls(centre, np.where(spread > 0, spread, 1.0))

    def __call__(self, X: NDArray) -> NDArray[np.float32]:
        """The matrix with every column centred, divided by its spread and clipped."""
        return np.clip((X - self.centre) / self.spread, -LIMIT, LIMIT).astype(np.float32)
