"""Puts the chunks of an HDF5 data set together, unpacking each within the size that it must have."""

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
FILTERS = (DEFLATE, SHUFFLE, FLETCHER32)
"""The numbers that the HDF5 format gives to its own filters."""
MAX_FILTERS, MAX_CHUNKS = 4, 200_000
CHECKSUM = 4
"""Bytes that fletcher32 appends."""


@dataclass(frozen=True)
class Grid:
    """An array cut into chunks of one shape; those at the far edges are padded."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype

    @property
    def chunk_bytes(self) -> int:
        """The size of one unpacked chunk."""
        return math.prod(self.chunk) * self.dtype.itemsize

    @property
    def count(self) -> int:
        """How many chunks cover the array."""
        return math.prod(-(-length // step) for length, step in zip(self.shape, self.chunk, strict=True))

    def has(self, offset: Sequence[int]) -> bool:
        """Whether a chunk begins there."""
        return len(offset) == len(self.shape) and all(
            0 <= start < length and start % step == 0
            for start, length, step in zip(offset, self.shape, self.chunk, strict=True)
        )


def assemble(grid: Grid, filters: Sequence[int], raw: Iterable[tuple[tuple[int, ...], int, bytes]]) -> np.ndarray:
    """The array whose chunks are `raw`: offset, mask of the filters that were left out, bytes as stored.

    Raises ValueError or zlib.error for a chunk that does not unpack to the size of a chunk.
    """
    array = np.empty(grid.shape, grid.dtype)
    for offset, mask, stored in raw:
        whole = np.frombuffer(unpack(stored, mask, filters, grid), grid.dtype).reshape(grid.chunk)
        lengths = [
            min(step, length - start) for start, step, length in zip(offset, grid.chunk, grid.shape, strict=True)
        ]
        inside = tuple(slice(start, start + length) for start, length in zip(offset, lengths, strict=True))
        array[inside] = whole[tuple(slice(length) for length in lengths)]
    return array


def unpack(stored: bytes, mask: int, filters: Sequence[int], grid: Grid) -> bytes:
    """The bytes of one chunk, with its filters undone from the last to the first."""
    most = grid.chunk_bytes + CHECKSUM * MAX_FILTERS
    for place in reversed(range(len(filters))):
        if mask >> place & 1:
            continue
        if filters[place] == DEFLATE:
            stored = _inflate(stored, most)
        elif filters[place] == SHUFFLE:
            stored = _unshuffle(stored, grid.dtype.itemsize)
        else:
            stored = stored[:-CHECKSUM]
    if len(stored) != grid.chunk_bytes:
        raise ValueError(f"a chunk unpacks to {len(stored):,} bytes instead of {grid.chunk_bytes:,}")
    return stored


def _inflate(stored: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    found = stream.decompress(stored, most + 1)
    if len(found) > most:
        raise ValueError(f"a chunk unpacks to more than {most:,} bytes")
    return found


def _unshuffle(stored: bytes, width: int) -> bytes:
    """The first bytes of all values come first, then the second ones and so on; what is left over stays at the end."""
    count = len(stored) // width
    body = np.frombuffer(stored, np.uint8, count * width).reshape(width, count)
    return body.T.tobytes() + stored[count * width :]
