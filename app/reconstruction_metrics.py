"""Measures of reconstructed records: which of them is which, how near each comes, and what a blind guess is worth.

Records come in batches: (K, B, ...) for K batches of B records with values in [0, 1]. A reconstruction says nothing
about the order within a batch, so the records of each batch are matched first. Every function returns finite numbers
for finite records.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from app import metrics

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_PSNR = 150.0
"""The PSNR in dB of an exact reconstruction, whose logarithm would be infinite: an error of 1e-15."""
WINDOW, SIGMA = 11, 1.5
"""Size and width of the Gaussian window of SSIM in pixels; smaller images take a smaller window."""
STABLE = (0.01**2, 0.03**2)
"""The constants C1 and C2 of SSIM for values in [0, 1]."""
BLOCK = 1 << 22
"""Numbers held in memory at a time by comparisons of everything with everything."""


@dataclass(frozen=True)
class Matching:
    """Reconstructions in the order of the true records."""

    inputs: NDArray
    """(K, B, ...): entry (k, i) is the reconstruction of the true record (k, i)."""
    places: Integers
    """(K, B): where in the answer it stood."""


def match(found: NDArray, true: NDArray, *, by: str = "mse") -> Matching:
    """The one-to-one assignment within each batch with the least mean squared error, or by="ssim" the highest SSIM.

    Hungarian algorithm (Kuhn, 1955, Naval Research Logistics Quarterly). `found` and `true` are (K, B, ...).
    """
    costs = -pairwise_ssim(found, true) if by == "ssim" else pairwise_mse(found, true)
    places = assignments(costs)
    return Matching(np.stack([batch[order] for batch, order in zip(found, places, strict=True)]), places)


def assignments(costs: NDArray) -> Integers:
    """(K, B): for the i-th true record the place of its reconstruction; `costs` is (K, true B, found B)."""
    return np.array([linear_sum_assignment(cost)[1] for cost in costs], np.int64).reshape(costs.shape[:2])


def pairwise_mse(found: NDArray, true: NDArray) -> Floats:
    """(K, B, n): the error between each true record (K, B, ...) and each candidate (K, n, ...)."""
    flat, other = _flat(true), _flat(found)
    errors = np.empty((len(flat), flat.shape[1], other.shape[1]))
    for batch, (rows, candidates) in enumerate(zip(flat, other, strict=True)):
        # Differences, not the expanded square: that would lose an error below 1e-16 to cancellation.
        step = max(1, BLOCK // max(candidates.size, 1))
        for start in range(0, len(rows), step):
            part = rows[start : start + step, None] - candidates[None]
            errors[batch, start : start + step] = np.square(part).mean(axis=2)
    return errors


def mse(found: NDArray, true: NDArray) -> Floats:
    """(K, B): the mean squared error of each record; both are (K, B, ...) in the same order."""
    errors: Floats = np.square(_flat(found) - _flat(true)).mean(axis=2)
    return errors


def psnr(errors: NDArray) -> Floats:
    """The peak signal-to-noise ratio in dB of mean squared errors of values in [0, 1], at most MOST_PSNR."""
    return -10.0 * np.log10(np.maximum(np.asarray(errors, np.float64), 10 ** (-MOST_PSNR / 10)))


def ssim(found: NDArray, true: NDArray) -> Floats:
    """(K, B): the structural similarity of each record, from -1 to 1; both are (K, B, ...) in the same order.

    Wang, Bovik, Sheikh and Simoncelli, 2004, IEEE Transactions on Image Processing, eq. 13, over the places where the
    window fits, averaged over channels. Rows of a table (K, B, d) are one window of equal weights.
    """
    return _ssim(np.asarray(found, np.float64), np.asarray(true, np.float64))


def pairwise_ssim(found: NDArray, true: NDArray) -> Floats:
    """(K, B, n): the similarity between each true record (K, B, ...) and each candidate (K, n, ...)."""
    columns = [ssim(np.broadcast_to(found[:, [place]], true.shape), true) for place in range(found.shape[1])]
    return np.stack(columns, axis=2)


def share_above(values: NDArray, threshold: float) -> float:
    """The share of values above the threshold; 0 when there are none."""
    return float((np.asarray(values) > threshold).mean()) if np.size(values) else 0.0


def identified(
    found: NDArray, true: NDArray, labels: NDArray, others: NDArray, other_labels: NDArray
) -> NDArray[np.bool_]:
    """(K, B): whether the true record is the nearest of its class to its reconstruction; a tie counts as not.

    The candidates are the true record, the other true ones of the class, and those of `others` (n, ...) of the class.
    Their share is the image-identifiability precision (Yin et al., 2021, CVPR, section 4), here in pixel space.
    """
    everything = np.concatenate([true.reshape(-1, *true.shape[2:]), others])
    classes = np.concatenate([labels.ravel(), other_labels])
    guesses = found.reshape(-1, *found.shape[2:])
    hits = np.zeros(labels.size, bool)
    for label in np.unique(labels):
        members, asked = np.flatnonzero(classes == label), np.flatnonzero(labels.ravel() == label)
        errors = pairwise_mse(everything[members][None], guesses[asked][None])[0]
        own = errors[members[None] == asked[:, None]]
        hits[asked] = (errors <= own[:, None]).sum(axis=1) == 1
    return hits.reshape(labels.shape)


def label_accuracy(found: NDArray, true: NDArray) -> Floats:
    """(K,): the overlap of the labels of each batch as multisets, 1 - sum |found - true count| / 2B; both (K, B)."""
    overlap = [
        sum(min(int((guess == label).sum()), int((truth == label).sum())) for label in np.unique(truth))
        for guess, truth in zip(found, true, strict=True)
    ]
    return np.array(overlap, np.float64) / max(true.shape[1], 1)


def upright(found: NDArray, true: NDArray) -> NDArray:
    """The reconstructions with the better of both signs, x or 1 - x, as an oracle would choose it.

    Some attacks cannot tell a picture from its negative. What they reach with the oracle's sign is worth knowing, and
    is never what they reach. Both are (K, B, ...) in the same order.
    """
    worse = mse(1.0 - found, true) < mse(found, true)
    return np.where(worse.reshape(*worse.shape, *[1] * (found.ndim - 2)), 1.0 - found, found)


def of_the_same_class(labels: NDArray, public: NDArray, public_labels: NDArray, rng: np.random.Generator) -> NDArray:
    """(K, B, ...): for each label (K, B) another record of its class, drawn from `public` (n, ...).

    What a guess of a typical member of the class is worth. A class without a public record takes any.
    """
    drawn = [rng.choice(_or_all(np.flatnonzero(public_labels == label), len(public))) for label in labels.ravel()]
    return public[drawn].reshape(*labels.shape, *public.shape[1:])


def mean_record(public: NDArray, batches: int, size: int) -> NDArray:
    """(batches, size, ...): the mean of the public records (n, ...), again and again."""
    return np.broadcast_to(public.mean(axis=0), (batches, size, *public.shape[1:]))


def blind_guess(public: NDArray, size: int, rng: np.random.Generator, rounds: int = 12) -> NDArray:
    """(size, ...): the set of guesses that comes nearest, after matching, to `size` records like `public` (n, ...).

    Matching rewards a varied set of guesses, even one that knows nothing, so a mean is not the best of the blind. This
    is Lloyd's algorithm with assignments instead of nearest centres: guesses are matched with many batches drawn from
    `public`, and each becomes the mean of what it was matched with, until that no longer helps.
    """
    flat = np.asarray(public, np.float64).reshape(len(public), -1)
    count = int(np.clip(BLOCK // max(size * flat.shape[1], 1), 32, 256))
    drawn = flat[rng.random((count, len(flat))).argsort(axis=1)[:, : min(size, len(flat))]]
    drawn = drawn[:, np.arange(size) % drawn.shape[1]]
    guesses = drawn[0]
    for _ in range(rounds):
        costs = np.square(guesses).sum(axis=1) - 2.0 * drawn @ guesses.T
        order = assignments(costs.swapaxes(1, 2))
        guesses = np.take_along_axis(drawn, order[:, :, None], axis=1).mean(axis=0)
    return guesses.reshape(size, *public.shape[1:]).astype(public.dtype)


def interval(values: NDArray, indices: Integers, confidence: float = 0.95) -> tuple[float, float]:
    """The bootstrap interval of the mean of `values` (n,); `indices` (count, n) are `metrics.resamples`."""
    means = metrics.weighted_mean(np.ravel(values), metrics.multiplicities(indices))
    return metrics.percentile_interval(means, confidence)


def _or_all(places: Integers, count: int) -> Integers:
    return places if len(places) else np.arange(count)


def _flat(records: NDArray) -> Floats:
    return np.asarray(records, np.float64).reshape(*records.shape[:2], -1)


def _ssim(first: Floats, second: Floats) -> Floats:
    """(K, B): the mean similarity over windows and channels."""
    c1, c2 = STABLE
    moments = [_windowed(part) for part in (first, second, first**2, second**2, first * second)]
    mean_a, mean_b, square_a, square_b, product = moments
    var_a, var_b = square_a - mean_a**2, square_b - mean_b**2
    top = (2 * mean_a * mean_b + c1) * (2 * (product - mean_a * mean_b) + c2)
    ratio = top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return np.clip(ratio.reshape(*ratio.shape[:2], -1).mean(axis=2), -1.0, 1.0)


def _windowed(records: Floats) -> Floats:
    """The weighted means of every window: over both sides of images (K, B, C, H, W), over the whole row of others."""
    if records.ndim != 5:
        return records.reshape(*records.shape[:2], -1).mean(axis=2, keepdims=True)
    for axis in (3, 4):
        kernel = _kernel(records.shape[axis])
        records = np.lib.stride_tricks.sliding_window_view(records, len(kernel), axis) @ kernel
    return records


def _kernel(length: int) -> Floats:
    """A Gaussian window of odd size that fits into `length` pixels."""
    size = min(WINDOW, length - (length + 1) % 2)
    places = np.arange(size) - size // 2
    weights = np.exp(-(places**2) / (2 * SIGMA**2))
    normal: Floats = weights / weights.sum()
    return normal
