"""Columns of numbers and of texts as numbers of a common size."""

import numpy as np
from numpy.typing import NDArray


def scaled(rows: NDArray) -> NDArray[np.float32]:
    """(n, columns) with mean 0 and deviation 1 in each column.

    Columns that hold nothing but 0 and 1 stay as they are: divided by its deviation, a rare 1 would drown the others.
    """
    values = np.asarray(rows, np.float64)
    is_flag = ((values == 0.0) | (values == 1.0)).all(axis=0)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    shift = np.where(is_flag, 0.0, mean)
    # A column of equal numbers says nothing: it becomes 0, give or take what rounding leaves of it.
    width = np.where(is_flag | (deviation <= 1e-12 * (1.0 + np.abs(mean))), 1.0, deviation)
    return ((values - shift) / width).astype(np.float32)


def one_hot(places: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """(n, count) with a 1 at each row's place."""
    hot = np.zeros((len(places), count), np.float32)
    hot[np.arange(len(places)), places] = 1.0
    return hot
