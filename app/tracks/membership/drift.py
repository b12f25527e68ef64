"""Whether members and strangers look alike: a split that can be told apart without a model measures nothing."""

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership.base import Records

FALSE_ALARM = 0.01
"""How often a split is refused although both sides come from one distribution."""
DRAWS = 999
TRIES = 20
"""Splits that are drawn before giving up; of twenty fair ones, all are refused once in 10^40 rounds."""
MAX_FEATURES = 256
"""Wider records are projected onto so many random directions first."""
PROJECTION_SEED = 0
BLOCK = 1 << 22
"""Signs held in memory at a time."""


class UnfairSplitError(RuntimeError):
    """Members and strangers of a round's records cannot be made alike."""


def is_fair(first: Records, second: Records, rng: np.random.Generator) -> bool:
    """Whether neither the classes nor the features tell the two sides, of equal length, apart.

    Two exact tests, each at half of FALSE_ALARM, so that fair splits are refused at most that often.
    """
    inputs, labels = np.concatenate([first.x, second.x]), np.concatenate([first.y, second.y])
    return min(p_value(table, rng) for table in (_classes(labels), _features(inputs))) > FALSE_ALARM / 2


def p_value(table: NDArray[np.float64], rng: np.random.Generator) -> float:
    """How often sides that were swapped by coins differ as much as the two halves of `table` (2 n, features).

    Row i and row n + i change sides together. The statistic is the squared length of the difference of the means; the
    p-value (1 + as extreme) / (1 + drawn) is exact whenever the two rows of a pair could as well be the other way
    round (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 2010).
    """
    first, second = np.split(table, 2)
    difference = first - second
    own = float((difference.sum(axis=0) ** 2).sum())
    step, as_extreme = max(1, BLOCK // max(1, len(difference))), 0
    for start in range(0, DRAWS, step):
        coins = rng.integers(0, 2, (min(step, DRAWS - start), len(difference)), dtype=np.int8)
        drawn = ((2.0 * coins - 1.0) @ difference) ** 2
        # Equal splits differ in their last digits, depending on the order of summation.
        as_extreme += int((drawn.sum(axis=1) >= own * (1 - 1e-9)).sum())
    return (1 + as_extreme) / (1 + DRAWS)


def _classes(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, classes that occur): one-hot over the root of the class's frequency, as in a chi-square test."""
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    hot = np.zeros((len(labels), len(counts)))
    hot[np.arange(len(labels)), places.reshape(-1)] = 1.0
    return np.asarray(hot / np.sqrt(counts))


def _features(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, at most MAX_FEATURES) features without correlation, as in Hotelling's test of two means.

    The variances are raised by their mean: where there are hardly more records than features, every split would look
    the same without it.
    """
    flat = inputs.reshape(len(inputs), -1)
    if flat.shape[1] > MAX_FEATURES:
        directions = np.random.default_rng(PROJECTION_SEED).standard_normal((flat.shape[1], MAX_FEATURES), np.float32)
        flat = flat @ directions
    values = flat.astype(np.float64)
    deviation = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    left, lengths, _ = np.linalg.svd(values, full_matrices=False)
    variances = lengths**2
    return np.asarray(left * np.sqrt(variances / np.maximum(variances + variances.mean(), np.finfo(float).tiny)))
