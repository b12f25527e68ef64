"""How well scores tell members from others, with intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app import metrics, roc
from app.reports import Estimate

Floats = NDArray[np.float64]
Z = 1.959963984540054
BISECTIONS = 60


def clopper_pearson(successes: int, n: int) -> Estimate:
    """A share with its exact 95 % interval; (0, 1) when nothing was observed."""
    low, high = roc.clopper_pearson(successes, n)
    return Estimate(successes / n if n else 0.0, float(low), float(high))


def area(scores: Floats, is_member: NDArray[np.bool_]) -> Estimate:
    """The AUC with a score interval (Newcombe, 2006, Statistics in Medicine, method 5), which never has no width."""
    value = metrics.auc(scores, is_member)
    members, others = int(is_member.sum()), int((~is_member).sum())
    if not members or not others:
        return Estimate(value, 0.0, 1.0)
    return Estimate(value, *(_bound(value, members, others, end) for end in (0.0, 1.0)))


def _bound(value: float, members: int, others: int, end: float) -> float:
    """The AUC between `value` and `end` from which `value` is just as far as it may be."""
    inside, outside = value, end
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2.0
        half = (members + others) / 2.0 - 1.0
        spread = 1.0 + half * ((1.0 - middle) / (2.0 - middle) + middle / (1.0 + middle))
        variance = middle * (1.0 - middle) * spread / (members * others)
        if (middle - value) ** 2 <= Z * Z * variance:
            inside = middle
        else:
            outside = middle
    return inside


@dataclass(frozen=True)
class Curve:
    """The ROC of some scores: the shares that have at least a score, for every score that occurs, highest first."""

    false: Floats
    """Of the others; begins with 0 and ends with 1."""
    true: Floats
    """Of the members."""

    @classmethod
    def of(cls, scores: Floats, is_member: NDArray[np.bool_]) -> "Curve":
        """The curve; equal scores are passed together, so that ties never help."""
        found = roc.roc(scores, is_member)
        return cls(found.fpr, found.tpr)

    @property
    def balanced_accuracy(self) -> float:
        """Of the best threshold."""
        return 0.5 + float((self.true - self.false).max()) / 2.0

    def true_at(self, rate: float) -> float:
        """The largest share of members found while at most `rate` of the others are accused."""
        return float(self.true[self.false <= rate + 1e-12].max())

    def thinned(self, points: int, lowest: float = 0.0) -> tuple[list[float], list[float]]:
        """At most about `points` of its points; from the false-positive rate `lowest` on, evenly in its logarithm."""
        grid = np.geomspace(lowest, 1.0, points) if lowest else np.linspace(0.0, 1.0, points)
        places = np.unique(np.searchsorted(self.false, grid + 1e-12, side="right") - 1)
        places = places[self.false[places] >= lowest]
        return self.false[places].tolist(), self.true[places].tolist()


def true_positives(curve: Curve, rate: float, members: int) -> Estimate:
    """The true-positive rate at a false-positive rate; the interval is that of a share of the members."""
    return clopper_pearson(round(curve.true_at(rate) * members), members)
