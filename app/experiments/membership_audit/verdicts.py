"""Verdicts on single sentences, calibrated on sentences that the model was not trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidUpload, Reason

FEWEST = 4
"""Others that a calibration and its test need together."""


@dataclass(frozen=True)
class Calibration:
    """The scores of sentences that the model was not trained on, lowest first."""

    scores: NDArray[np.float64]
    rate: float
    """Share of other sentences that a verdict may accuse."""

    def p_values(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """How likely a sentence that was not trained on has at least this score: (1 + those that have) / (1 + all).

        The rank among exchangeable scores (Vovk, Gammerman, Shafer, 2005, conformal prediction): true for every
        attack and every model, and never 0.
        """
        as_high = len(self.scores) - np.searchsorted(self.scores, scores, side="left")
        values: NDArray[np.float64] = (1.0 + as_high.astype(np.float64)) / (1.0 + len(self.scores))
        return values

    def accuses(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the p-value is at most the chosen rate."""
        found: NDArray[np.bool_] = self.p_values(scores) <= self.rate
        return found

    @property
    def least(self) -> float:
        """The smallest p-value that there is."""
        return 1.0 / (1.0 + len(self.scores))


def halve(others: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places to calibrate on, and places to test on. Raises InvalidUpload when there are too few."""
    if len(others) < FEWEST:
        rule = f"At least {FEWEST} sentences of the corpus are neither members nor equal to one."
        fix = "Take a longer corpus, or a split without duplicates."
        raise InvalidUpload([Reason(rule, str(len(others)), fix)])
    drawn = rng.permutation(others)
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
