"""The data set that is always there: handwritten digits that come with scikit-learn."""

import functools

import numpy as np

from app.record_sets.records import RecordSet

CLASSES = 10
BRIGHTEST = 16.0


@functools.cache
def digits() -> RecordSet:
    """All 1,797 digits of 8 x 8 pixels (Alpaydin and Kaynak, 1998, UCI), as (1797, 1, 8, 8) between 0 and 1."""
    # scikit-learn takes a second to load, and pages that list settings do not need it.
    from sklearn.datasets import load_digits

    loaded = load_digits()
    pixels = (loaded.images[:, None] / BRIGHTEST).astype(np.float32)
    return RecordSet(pixels, loaded.target.astype(np.int64), CLASSES, tuple(map(str, range(CLASSES))))
