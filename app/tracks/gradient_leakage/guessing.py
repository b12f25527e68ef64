"""What is known of private batches before anything is shared: the blind guesses against which leakage is measured."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from app.reconstruction_metrics import Floats, blind_guess, match, mean_record, mse
from app.tracks.gradient_leakage.records import Records

SEED = 0
"""Guesses follow from the public records alone, so that everybody finds the same."""


def guesses(public: Records, batches: int, size: int, labels: NDArray[np.int64] | None) -> dict[str, NDArray]:
    """Blind answers (batches, size, ...) by name, the best one in expectation first.

    "set" is the set of guesses that does best after matching, "mean" the mean record; with labels (batches, size), the
    sets are those of each label.
    """
    found = {"mean": mean_record(public.inputs, batches, size)}
    best = _set(public.inputs, size)
    found = {"set": np.broadcast_to(best, (batches, *best.shape)), **found}
    if labels is None:
        return found if size > 1 else dict(reversed(found.items()))
    return {"labels": np.stack([_of_labels(public, batch) for batch in labels]), **found}


def errors(public: Records, true: NDArray, labels: NDArray[np.int64] | None) -> Floats:
    """(K, B): the error of the blind answer that comes nearest to the true records (K, B, ...), after matching."""
    tried = guesses(public, true.shape[0], true.shape[1], labels).values()
    found = [mse(match(guess, true).inputs, true) for guess in tried]
    return min(found, key=lambda values: float(values.mean()))


def _set(inputs: NDArray, size: int) -> NDArray:
    return blind_guess(inputs, size, np.random.default_rng(SEED))


def _of_labels(public: Records, labels: NDArray[np.int64]) -> NDArray:
    """(B, ...): for each label as many different guesses as it has records."""
    answer = np.empty((len(labels), *public.inputs.shape[1:]), np.float32)
    for label, count in Counter(labels.tolist()).items():
        answer[labels == label] = _set(_of_class(public, label), count)
    return answer


def _of_class(public: Records, label: int) -> NDArray:
    found = public.inputs[public.labels == label]
    return found if len(found) else public.inputs
