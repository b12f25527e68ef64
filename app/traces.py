"""Packet traces: many captures of different lengths in three flat arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Traces:
    """n captures with P packets in total, one behind the other (compressed sparse rows).

    Packets keep the order of the capture file; small negative time gaps (re-ordered packets) are normal.
    """

    offset: NDArray[np.int64]
    """(n + 1,): capture i owns the packets offset[i] to offset[i + 1]."""
    size: NDArray[np.int32]
    """(P,): bytes with a sign, + from the client to the network, - to the client."""
    time: NDArray[np.float64]
    """(P,): seconds since the start of the capture."""

    def __len__(self) -> int:
        """The number of captures."""
        return len(self.offset) - 1

    @property
    def length(self) -> NDArray[np.int64]:
        """(n,): packets of each capture."""
        return np.diff(self.offset)

    @property
    def owner(self) -> NDArray[np.int64]:
        """(P,): the capture that each packet belongs to."""
        return np.repeat(np.arange(len(self)), self.length)

    def capture(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Sizes and times of one capture, as views."""
        packets = slice(self.offset[index], self.offset[index + 1])
        return self.size[packets], self.time[packets]

    def take(self, indices: NDArray[np.int64]) -> "Traces":
        """The captures at `indices`, in that order."""
        packets, offset = gather(self.offset, indices)
        return Traces(offset, self.size[packets], self.time[packets])

    def to_bundle(self, prefix: str = "") -> dict[str, np.ndarray]:
        """The three arrays under names that begin with `prefix`."""
        return {f"{prefix}offset": self.offset, f"{prefix}size": self.size, f"{prefix}time": self.time}

    @classmethod
    def from_bundle(cls, bundle: Mapping[str, np.ndarray], prefix: str = "") -> "Traces":
        """The inverse of `to_bundle`."""
        return cls(bundle[f"{prefix}offset"], bundle[f"{prefix}size"], bundle[f"{prefix}time"])

    @classmethod
    def from_captures(cls, sizes: Sequence[np.ndarray], times: Sequence[np.ndarray]) -> "Traces":
        """Traces from one array of sizes and one of times per capture."""
        offset = np.concatenate([[0], np.cumsum([len(size) for size in sizes])]).astype(np.int64)
        if not len(sizes):
            return cls(offset, np.empty(0, np.int32), np.empty(0, np.float64))
        return cls(offset, np.concatenate(sizes).astype(np.int32), np.concatenate(times).astype(np.float64))


def gather(offset: NDArray[np.int64], indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the packets of the rows at `indices`, and the offsets of the gathered rows."""
    length = np.diff(offset)[indices]
    gathered = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    packets = np.arange(gathered[-1]) + np.repeat(offset[:-1][indices] - gathered[:-1], length)
    return packets, gathered
