"""Curves of detectors: what share of positives is found at what share of false alarms, with intervals.

Ties never help: equal scores share a threshold, so they are one step of the curve. Every function returns finite
numbers for finite scores, also when there are no positives or no negatives.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 1 << 22
"""Multiplicities held in memory at a time by the bootstrap: 16 MiB of int32."""


class Share(NamedTuple):
    """A share in [0, 1] with the interval that it is trusted to lie in."""

    value: float
    low: float
    high: float


def clopper_pearson(successes: NDArray | float, n: NDArray | float, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """The exact interval of a proportion (Clopper & Pearson, Biometrika 1934), elementwise; (0, 1) where n is 0."""
    # SciPy takes a while to load, and pages that only list metrics do not need it.
    from scipy.special import betaincinv

    k, n = np.asarray(successes, np.float64), np.asarray(n, np.float64)
    tail = (1.0 - confidence) / 2.0
    low = np.where(k > 0, betaincinv(np.maximum(k, 1e-9), n - k + 1.0, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1.0, np.maximum(n - k, 1e-9), 1.0 - tail), 1.0)
    return low, high


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic: one point for each distinct score, after (0, 0), by rising rates."""

    fpr: Floats
    tpr: Floats
    thresholds: Floats
    """Scores at or above the threshold count as positive; the first one is infinite."""
    negatives: int
    positives: int

    @property
    def balanced_accuracy(self) -> float:
        """The mean accuracy on both sides with the best threshold, at least 0.5."""
        return float(0.5 + 0.5 * np.max(self.tpr - self.fpr))

    @property
    def advantage(self) -> float:
        """The largest TPR - FPR: the membership advantage of Yeom et al., 2018, CSF; at least 0."""
        return float(np.max(self.tpr - self.fpr))

    def tpr_at(self, fpr: float, confidence: float = 0.95) -> Share:
        """The highest TPR whose FPR is at most `fpr`, with its Clopper-Pearson interval; nothing is interpolated."""
        # Rounding may put a rate a hair above the one that was asked for.
        place = int(np.searchsorted(self.fpr, fpr * (1 + 1e-12), side="right")) - 1
        value = float(self.tpr[place])
        low, high = clopper_pearson(round(value * self.positives), self.positives, confidence)
        return Share(value, float(low), float(high))

    def points(self, floor: float = 1e-5, count: int = 200) -> tuple[Floats, Floats]:
        """At most about `count` points for a figure with two logarithmic axes; rates below `floor` are raised to it."""
        fpr, tpr = np.clip(self.fpr, floor, 1.0), np.clip(self.tpr, floor, 1.0)
        wanted = np.geomspace(floor, 1.0, count)
        # The last point before each position on the axis is the upper end of a step there.
        places = np.unique(np.searchsorted(fpr, wanted, side="right") - 1)
        return fpr[places], tpr[places]


def roc(scores: NDArray, positive: NDArray) -> Roc:
    """The ROC of `scores` (n,), higher for a positive; tied scores are one step, as they share a threshold.

    Without positives (or negatives) their rate is 0 everywhere.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    tpr = np.append(0.0, hits[last] / max(positives, 1))
    fpr = np.append(0.0, (last + 1 - hits[last]) / max(negatives, 1))
    return Roc(fpr, tpr, np.append(np.inf, ranked[last]), negatives, positives)


def balanced_accuracy(scores: NDArray, positive: NDArray) -> float:
    """The mean accuracy on both sides with the best threshold, at least 0.5."""
    return roc(scores, positive).balanced_accuracy


def tpr_at_fpr(scores: NDArray, positive: NDArray, fpr: float, confidence: float = 0.95) -> Share:
    """The highest TPR whose FPR is at most `fpr`, with its Clopper-Pearson interval."""
    return roc(scores, positive).tpr_at(fpr, confidence)


def roc_of_resamples(
    scores: NDArray, positive: NDArray, rng: np.random.Generator, fprs: tuple[float, ...] = (), count: int = 1000
) -> tuple[Floats, Floats]:
    """AUC (B,) and TPR (B, fprs) of B = `count` bootstrap resamples of the positives and, apart, of the negatives.

    Everything is sorted once; a resample is a vector of multiplicities, and its curve a cumulative sum of these.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    ours, theirs = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(ours) or not len(theirs):
        return np.full(count, 0.5), np.zeros((count, len(fprs)))
    areas, rates = np.empty(count), np.empty((count, len(fprs)))
    step = max(1, BLOCK // len(scores))
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        won = _cumulative(len(ours), part.stop - start, rng)
        lost = _cumulative(len(theirs), part.stop - start, rng)
        areas[part] = _areas(ours, theirs, won, lost)
        for column, fpr in enumerate(fprs):
            rates[part, column] = _rates(ours, theirs, won, lost, fpr)
    return areas, rates


def _cumulative(n: int, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """(count, n + 1): how often a resample holds one of the first 0..n items."""
    drawn = rng.integers(0, n, size=(count, n), dtype=np.int32)
    drawn += np.arange(1, count * (n + 1), n + 1, dtype=np.int32)[:, None]
    held = np.bincount(drawn.ravel(), minlength=count * (n + 1)).astype(np.int32).reshape(count, n + 1)
    return np.cumsum(held, axis=1, dtype=np.int32, out=held)


def _areas(ours: Floats, theirs: Floats, won: NDArray[np.int32], lost: NDArray[np.int32]) -> Floats:
    """The AUC of every resample: the share of pairs that are won, ties half."""
    below, upto = (np.searchsorted(theirs, ours, side=side) for side in ("left", "right"))
    beaten = lost.take(below, axis=1).astype(np.float64)
    if (below != upto).any():
        beaten = (beaten + lost.take(upto, axis=1)) / 2.0
    # With both in double precision this is several times as fast as with different types.
    areas: Floats = np.einsum("bi,bi->b", np.diff(won, axis=1).astype(np.float64), beaten) / (len(ours) * len(theirs))
    return areas


def _rates(ours: Floats, theirs: Floats, won: NDArray[np.int32], lost: NDArray[np.int32], fpr: float) -> Floats:
    """The TPR of every resample above the highest negative that would make more false positives than allowed."""
    spared = len(theirs) - int(np.floor(fpr * len(theirs) * (1 + 1e-12)))
    if spared <= 0:
        return np.ones(len(won))
    highest = theirs[(lost < spared).sum(axis=1) - 1]
    passed = won[np.arange(len(won)), np.searchsorted(ours, highest, side="right")]
    rates: Floats = 1.0 - passed / len(ours)
    return rates


def epsilon_lower_bound(
    scores: NDArray, positive: NDArray, rng: np.random.Generator, delta: float = 0.0, confidence: float = 0.95
) -> float:
    """An epsilon that a mechanism has at least with this confidence, if it is (epsilon, delta)-private at all.

    Kairouz, Oh and Viswanath, 2015: TPR <= e^epsilon FPR + delta, and the same for the errors. As in Jagielski et al.,
    2020, and Nasr et al., 2021, the rates are replaced by the pessimistic ends of their Clopper-Pearson intervals; the
    threshold is chosen on one half of the scores and judged on the other, so that choosing does not flatter it.
    Scores must be of independent records or runs. 0 if nothing can be claimed.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    is_choosing = np.zeros(len(scores), bool)
    for side in (positive, ~positive):
        places = rng.permutation(np.flatnonzero(side))
        is_choosing[places[: len(places) // 2]] = True
    choice = roc(scores[is_choosing], positive[is_choosing])
    claims = _epsilons(
        choice.tpr * choice.positives,
        choice.fpr * choice.negatives,
        choice.positives,
        choice.negatives,
        delta,
        confidence,
    )
    threshold = choice.thresholds[int(np.argmax(claims))]
    judged, is_member = scores[~is_choosing] >= threshold, positive[~is_choosing]
    members, others = int(is_member.sum()), int((~is_member).sum())
    hits, alarms = np.array([(judged & is_member).sum()]), np.array([(judged & ~is_member).sum()])
    return float(_epsilons(hits, alarms, members, others, delta, confidence)[0])


def _epsilons(hits: NDArray, alarms: NDArray, members: int, others: int, delta: float, confidence: float) -> Floats:
    """What can be claimed from counts of true and false positives; each of the two rates may fail half the time."""
    # Both ends are one-sided, so a two-sided interval of this confidence spends half of the doubt on each rate.
    misses = clopper_pearson(members - hits, members, confidence)[1]
    false = clopper_pearson(alarms, others, confidence)[1]
    tiny = np.finfo(float).tiny
    above = np.maximum((1 - delta - misses) / false, (1 - delta - false) / misses)
    claims: Floats = np.maximum(np.log(np.maximum(above, tiny)), 0.0)
    return claims
