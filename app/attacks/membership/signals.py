"""What a classifier's answers say about a record: statistics of logits, each higher for what looks like a member."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LARGEST = 1e4
"""Logits are cut to this size: beyond it every probability is 0 or 1 anyway, and all that follows stays finite."""


def finite(logits: NDArray) -> Floats:
    """The logits in double precision, without infinities and NaN; a copy."""
    values = np.clip(np.asarray(logits, np.float64), -LARGEST, LARGEST)
    values[np.isnan(values)] = 0.0
    return values


def _shifted(logits: NDArray, temperature: float) -> tuple[Floats, Floats]:
    """(..., K): the logits over a temperature, less the highest of each row, and their exponentials."""
    scaled = finite(logits)
    scaled /= temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    return scaled, np.exp(scaled)


def log_softmax(logits: NDArray, temperature: float = 1.0) -> Floats:
    """The log-probabilities (..., K) of logits (..., K)."""
    scaled, parts = _shifted(logits, temperature)
    result: Floats = scaled - np.log(parts.sum(axis=-1, keepdims=True))
    return result


def of_class(values: NDArray, y: NDArray) -> Floats:
    """(..., n): the column `y` (n,) of each row of values (..., n, K)."""
    places = np.broadcast_to(y[..., None], (*values.shape[:-1], 1))
    return np.take_along_axis(values, places, axis=-1)[..., 0].astype(np.float64)


def log_probability(logits: NDArray, y: NDArray, temperature: float = 1.0) -> Floats:
    """(..., n): the log-probability of the true class, which is minus the cross-entropy."""
    scaled, parts = _shifted(logits, temperature)
    result: Floats = of_class(scaled, y) - np.log(parts.sum(axis=-1))
    return result


def scaled_logit(logits: NDArray, y: NDArray) -> Floats:
    """(..., n): log p_y - log of the sum of the other probabilities, stable however sure the model is.

    Carlini et al., 2022, IEEE S&P; close to a normal distribution over models.
    """
    values = finite(logits)
    true = of_class(values, y)
    if values.shape[-1] < 2:
        return true
    np.put_along_axis(values, np.broadcast_to(y[..., None], (*values.shape[:-1], 1)), -np.inf, axis=-1)
    highest = values.max(axis=-1)
    values -= highest[..., None]
    result: Floats = true - highest - np.log(np.exp(values, out=values).sum(axis=-1))
    return result


def negative_entropy(logits: NDArray) -> Floats:
    """(..., n): minus the entropy of the prediction, in nats."""
    scaled, parts = _shifted(logits, 1.0)
    total = parts.sum(axis=-1)
    entropy: Floats = np.einsum("...k,...k->...", parts, scaled) / total - np.log(total)
    return entropy


def negative_modified_entropy(logits: NDArray, y: NDArray) -> Floats:
    """(..., n): (1 - p_y) log p_y + sum over the other classes of p_c log(1 - p_c).

    Song and Mittal, 2021, USENIX Security, with the sign turned: unlike the entropy it tells a sure mistake from
    a sure hit.
    """
    logs = log_softmax(logits)
    shares = np.exp(logs)
    rest = np.log1p(-np.minimum(shares, 1.0 - 1e-16))
    wrong = shares * rest
    result: Floats = (1.0 - of_class(shares, y)) * of_class(logs, y) + wrong.sum(axis=-1) - of_class(wrong, y)
    return result


def is_right(logits: NDArray, y: NDArray) -> Floats:
    """(..., n): 1 where the true class has the highest logit, shared among tied classes."""
    values = finite(logits)
    best = values == values.max(axis=-1, keepdims=True)
    return of_class(best / best.sum(axis=-1, keepdims=True), y)


def mean_where(values: NDArray, mask: NDArray) -> Floats:
    """(n,): the mean over models of values (R, n) where the mask is set; the mean of all set ones where none is.

    0 if the mask is empty.
    """
    counts = mask.sum(axis=0)
    sums = np.where(mask, values, 0.0).sum(axis=0)
    overall = sums.sum() / max(int(counts.sum()), 1)
    means: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    return means


def median_where(values: NDArray, mask: NDArray) -> Floats:
    """(n,): as `mean_where`, with the median of each record."""
    ranked = np.sort(np.where(mask, values, np.inf), axis=0)
    counts = mask.sum(axis=0)
    low, high = np.maximum(counts - 1, 0) // 2, np.maximum(counts, 1) // 2
    columns = np.arange(values.shape[1])
    with np.errstate(invalid="ignore"):
        middle = (ranked[low, columns] + ranked[np.minimum(high, len(values) - 1), columns]) / 2.0
    medians: Floats = np.where(counts > 0, middle, mean_where(values, mask))
    return medians
