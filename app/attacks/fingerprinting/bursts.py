"""Bursts: unbroken runs of packets in one direction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.traces import Traces


@dataclass(frozen=True)
class Bursts:
    """The bursts of n captures, B in total, one capture behind the other."""

    offset: NDArray[np.int64]
    """(n + 1,): capture i owns the bursts offset[i] to offset[i + 1]."""
    size: NDArray[np.int64]
    """(B,): bytes with a sign, + from the client to the network, - to the client."""
    packets: NDArray[np.int64]
    """(B,): how many packets."""
    time: NDArray[np.float64]
    """(B,): seconds from the start of the capture to the first packet."""

    @classmethod
    def of(cls, traces: Traces) -> "Bursts":
        """The bursts of every capture; a packet of size 0 counts as outgoing."""
        outgoing = traces.size >= 0
        begins = np.ones(len(outgoing) + 1, bool)
        begins[1:-1] = outgoing[1:] != outgoing[:-1]
        begins[traces.offset] = True
        start = np.flatnonzero(begins[:-1])
        offset = np.searchsorted(start, traces.offset)
        if not len(start):
            return cls(offset, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        size = np.add.reduceat(traces.size, start, dtype=np.int64)
        return cls(offset, size, np.diff(start, append=len(outgoing)), traces.time[start])
