"""Measures of attacks and defences: arrays in, finite numbers out, with intervals that say how far to trust them.

Ties never help: a tied top-k place is shared (the expected value under random tie-breaking), a tied pair counts one
half in an AUC. Every function returns a finite number for every finite input, the empty one included.
"""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK = 1 << 22
"""Comparisons held in memory at a time by the pairwise AUC: 32 MiB of float64."""


def credit(scores: NDArray, labels: NDArray, k: int = 1) -> Floats:
    """The chance of each row to have its true class among its k highest scores, when ties are broken at random.

    `scores` is (n, N), `labels` (n,) with values 0..N-1; the result is (n,) in [0, 1].
    """
    true = np.take_along_axis(scores, labels[:, None].astype(np.int64), axis=1)
    above = (scores > true).sum(axis=1)
    tied = (scores == true).sum(axis=1)
    shared: Floats = np.clip((k - above) / np.maximum(tied, 1), 0.0, 1.0)
    return shared


def top_k_accuracy(scores: NDArray, labels: NDArray, k: int) -> float:
    """The share of rows whose true class is among their k highest scores; ties share the place."""
    return float(credit(scores, labels, k).mean()) if len(labels) else 0.0


def accuracy(scores: NDArray, labels: NDArray) -> float:
    """The share of rows whose true class has the highest score; ties share the place."""
    return top_k_accuracy(scores, labels, 1)


def advantage(accuracy: float | Floats, chance: float) -> Floats:
    """What an accuracy is worth above guessing: 0 at `chance` and below, 1 when everything is right."""
    return np.clip((np.asarray(accuracy, np.float64) - chance) / max(1.0 - chance, np.finfo(float).tiny), 0.0, 1.0)


def log_losses(probabilities: NDArray, labels: NDArray, floor: float = 1e-6) -> Floats:
    """Minus the natural logarithm of the probability of each row's true class, which is raised to `floor` first."""
    true = np.take_along_axis(probabilities, labels[:, None].astype(np.int64), axis=1)[:, 0]
    return -np.log(np.clip(true.astype(np.float64), floor, 1.0))


def auc(scores: NDArray, positive: NDArray) -> float:
    """The area under the ROC curve: the chance that a positive scores above a negative, a tie counting one half.

    Mann-Whitney's U / (positives * negatives); 0.5 when either side is empty.
    """
    positive = np.asarray(positive, bool)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return 0.5
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2.0
    rank_sum = float(middle[place.reshape(-1)][positive].sum())
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives)


def macro_auc(scores: NDArray, labels: NDArray) -> float:
    """The mean one-vs-rest AUC of the classes that have both positives and negatives; 0.5 when there is none."""
    return float(macro_auc_of_resamples(scores, labels, np.ones((1, len(labels))))[0])


def macro_auc_of_resamples(scores: NDArray, labels: NDArray, weights: NDArray) -> Floats:
    """The macro AUC of every resample; `weights` (B, n) says how often each row occurs in it.

    Every positive of class c is compared with all rows of another class in column c, which costs n^2 comparisons in all
    however many classes there are; a resample is then two products of matrices, exact because all terms are halves.
    """
    labels = np.asarray(labels, np.int64)
    n, classes = len(labels), scores.shape[1]
    weights = np.asarray(weights, np.float64)
    member = np.zeros((n, classes))
    member[np.arange(n), labels] = 1.0
    wins = np.zeros((len(weights), classes))
    step = max(1, BLOCK // max(n, 1))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        wins += (weights[:, rows] * (weights @ _wins(scores, labels, rows).T)) @ member[rows]
    positives = weights @ member
    pairs = positives * (weights.sum(axis=1, keepdims=True) - positives)
    areas = np.divide(wins, pairs, out=np.zeros_like(wins), where=pairs > 0)
    usable = (pairs > 0).sum(axis=1)
    means: Floats = np.where(usable > 0, areas.sum(axis=1) / np.maximum(usable, 1), 0.5)
    return means


def _wins(scores: NDArray, labels: Integers, rows: slice) -> Floats:
    """(rows, n): 1 where a row beats another class's row in its own class's column, 1/2 where they tie."""
    columns = scores[:, labels[rows]].T
    own = scores[np.arange(rows.start, rows.stop), labels[rows]][:, None]
    wins: Floats = (own > columns) + 0.5 * (own == columns)
    wins[labels[rows][:, None] == labels[None, :]] = 0.0
    return wins


def wilson(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson, JASA 1927, eq. 4); (0, 1) when nothing was observed."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    # Rounding may put the end of an interval a hair inside the share of an all-or-nothing count.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def resamples(n: int, count: int, rng: np.random.Generator) -> Integers:
    """(count, n) indices of `count` bootstrap resamples of n items; share them between answers to compare these."""
    return rng.integers(0, max(n, 1), size=(count, n), dtype=np.int64)


def multiplicities(indices: Integers) -> Floats:
    """(B, n): how often each of the n items occurs in each resample, from the (B, n) matrix of `resamples`."""
    count, n = indices.shape
    places = indices + np.arange(count)[:, None] * n
    return np.bincount(places.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)


def bootstrap(statistic: Callable[[Floats], Floats], indices: Integers) -> Floats:
    """(B,): the statistic of every resample; `statistic` takes all multiplicities (B, n) at once and returns (B,)."""
    return np.asarray(statistic(multiplicities(indices)), np.float64)


def weighted_mean(values: NDArray, weights: Floats) -> Floats:
    """(B,): the mean of `values` (n,) in every resample with multiplicities `weights` (B, n); 0 when it is empty."""
    means: Floats = weights @ np.asarray(values, np.float64) / np.maximum(weights.sum(axis=1), 1.0)
    return means


def percentile_interval(replicates: NDArray, confidence: float = 0.95) -> tuple[float, float]:
    """The middle `confidence` of bootstrap replicates; (0, 0) when there are none."""
    if not len(replicates):
        return 0.0, 0.0
    low, high = np.quantile(replicates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
