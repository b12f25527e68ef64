"""ROC curves of resamples that are the same records for every answer; `app.roc` draws its own by rank."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LOW_RATE = 0.01
DRAWS = 2000
DRAW_SEED = 0
BLOCK = 1 << 21
"""Numbers of one matrix of resamples: 16 MB."""


def leakage(area: Floats | float, low_rate: Floats | float) -> Floats:
    """max(2 AUC - 1, (TPR at 1 % FPR - 1 %) / 99 %), at least 0; a blind guess is worth 0 and everything 1."""
    return np.clip(np.maximum(2.0 * np.asarray(area) - 1.0, (np.asarray(low_rate) - LOW_RATE) / 0.99), 0.0, 1.0)


@dataclass(frozen=True)
class Curves:
    """B curves: how many members and strangers have at least a score, for every score that occurs, highest first.

    Both start at 0. Members and strangers of equal scores are passed together: whoever gives equal scores has not told
    these records apart.
    """

    found: Floats
    """(B, G + 1)."""
    accused: Floats
    """(B, G + 1)."""

    @classmethod
    def of(cls, scores: NDArray, is_member: NDArray[np.bool_], weights: Floats) -> "Curves":
        """The curves of resamples in which record i occurs weights[b, i] times; `weights` is (B, n)."""
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        passed = [
            np.cumsum(np.add.reduceat(weights[:, order] * side[order], starts, axis=1), axis=1)
            for side in (is_member, ~is_member)
        ]
        found, accused = (np.pad(counts, ((0, 0), (1, 0))) for counts in passed)
        return cls(found, accused)

    @property
    def true_rates(self) -> Floats:
        """(B, G + 1): the shares of the members."""
        return self.found / np.maximum(self.found[:, -1:], 1.0)

    @property
    def false_rates(self) -> Floats:
        """(B, G + 1): the shares of the strangers."""
        return self.accused / np.maximum(self.accused[:, -1:], 1.0)

    def areas(self) -> Floats:
        """(B,): the AUC."""
        false, true = self.false_rates, self.true_rates
        return np.asarray((np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1]) / 2.0).sum(axis=1))

    def balanced_accuracies(self) -> Floats:
        """(B,): of the best threshold."""
        return np.asarray(0.5 + (self.true_rates - self.false_rates).max(axis=1) / 2.0)

    def true_rates_at(self, rate: float) -> Floats:
        """(B,): the share of members found when at most a share `rate` of the strangers is accused."""
        last = (self.false_rates <= rate * (1 + 1e-12)).sum(axis=1, keepdims=True) - 1
        return np.asarray(np.take_along_axis(self.true_rates, last, axis=1)[:, 0])

    def leakages(self) -> Floats:
        """(B,): see `leakage`."""
        return leakage(self.areas(), self.true_rates_at(LOW_RATE))


@functools.cache
def reach_of_a_guess(members: int, strangers: int, confidence: float = 0.99) -> float:
    """What that share of random answers without ties stays below in `leakages`, by DRAWS simulated answers."""
    rng = np.random.default_rng(DRAW_SEED)
    in_order = np.arange(members + strangers) < members
    leakages = []
    for size in blocks(DRAWS, len(in_order)):
        drawn = rng.permuted(np.broadcast_to(in_order, (size, len(in_order))), axis=1)
        found = np.pad(np.cumsum(drawn, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
        leakages.append(Curves(found, np.arange(len(in_order) + 1) - found).leakages())
    return float(np.quantile(np.concatenate(leakages), confidence))


def blocks(count: int, width: int) -> Iterator[int]:
    """How many of `count` rows of this width to hold at a time, until all were held."""
    step = max(1, BLOCK // max(1, width))
    for start in range(0, count, step):
        yield min(step, count - start)
