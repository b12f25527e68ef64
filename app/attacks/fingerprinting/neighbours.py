"""Votes of the nearest training captures."""

import numpy as np
from numpy.typing import NDArray


def votes(
    similarity: NDArray[np.floating], labels: NDArray[np.int64], classes: int, neighbours: int
) -> NDArray[np.float64]:
    """(n, classes): the similarities of the most similar training captures, summed by class.

    `similarity` is (n, m) and not negative; `labels` are those of the m training captures.
    """
    chosen = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
    weight = np.take_along_axis(similarity, chosen, axis=1)
    place = np.arange(len(similarity))[:, None] * classes + labels[chosen]
    summed = np.bincount(place.ravel(), weights=weight.ravel(), minlength=len(similarity) * classes)
    return np.asarray(summed, np.float64).reshape(-1, classes)
