"""Rows of different lengths in one flat array: their sums, moments, quantiles and zero-padded matrices.

`offset` is (n + 1,): row i owns values[offset[i]] to values[offset[i + 1]]. Empty rows are allowed everywhere.
"""

import numpy as np
from numpy.typing import NDArray


def owner(offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,): the row that each value belongs to."""
    return np.repeat(np.arange(len(offset) - 1), np.diff(offset))


def column(offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,): the position of each value in its row."""
    return np.arange(offset[-1]) - np.repeat(offset[:-1], np.diff(offset))


def kept(mask: NDArray[np.bool_], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """The offset of the rows of `values[mask]`."""
    return np.concatenate([[0], np.cumsum(mask)])[offset].astype(np.int64)


def reduced(ufunc: np.ufunc, values: NDArray, offset: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,): each row reduced by `ufunc` (np.add, np.minimum, np.maximum); 0 for an empty row."""
    filled = np.diff(offset) > 0
    result = np.zeros(len(filled))
    if filled.any():
        # An empty row owns no value, so that the starts of the other rows alone cut the array correctly.
        result[filled] = ufunc.reduceat(values, offset[:-1][filled])
    return result


def mean(values: NDArray, offset: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,): the mean of each row; 0 for an empty row."""
    return reduced(np.add, values.astype(np.float64, copy=False), offset) / np.maximum(np.diff(offset), 1)


def moments(values: NDArray, offset: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each row, (n,) each; 0 for an empty row."""
    average = mean(values, offset)
    centred = values - np.repeat(average, np.diff(offset))
    return average, np.sqrt(mean(centred * centred, offset))


def ordered(values: NDArray, offset: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P,): the values sorted within each row.

    One sort of the whole array, with the rows moved apart: four times as fast as a sort by two keys.
    """
    if not len(values):
        return np.empty(0)
    low = float(values.min())
    shift = owner(offset) * (float(values.max()) - low + 1.0)
    return np.sort(values - low + shift) - shift + low


def quantiles(values: NDArray, offset: NDArray[np.int64], shares: tuple[float, ...]) -> NDArray[np.float64]:
    """(n, len(shares)): the quantiles of each row, linearly interpolated; 0 for an empty row."""
    length = np.diff(offset)
    if not len(values):
        return np.zeros((len(length), len(shares)))
    ranked = ordered(values, offset)
    position = np.maximum(length - 1, 0)[:, None] * np.asarray(shares)
    below = np.floor(position).astype(np.int64)
    first = np.minimum(offset[:-1, None] + below, len(values) - 1)
    second = np.minimum(first + (position > below), len(values) - 1)
    found = ranked[first] + (position - below) * (ranked[second] - ranked[first])
    return np.where(length[:, None] > 0, found, 0.0)


def padded(values: NDArray, offset: NDArray[np.int64], columns: int) -> NDArray[np.float32]:
    """(n, columns): the first values of each row, filled up with zeros."""
    matrix = np.zeros((len(offset) - 1, columns), np.float32)
    place = column(offset)
    chosen = place < columns
    matrix[owner(offset)[chosen], place[chosen]] = values[chosen]
    return matrix
