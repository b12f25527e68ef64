"""What a protection costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.traces import Traces


@dataclass(frozen=True)
class Overhead:
    """The price of a defence; 0 is free, 1 doubles."""

    bandwidth: float
    """(bytes after - bytes before) / bytes before, over all captures and both directions."""
    latency: float
    """(median duration after - median duration before) / median duration before.

    Medians, since a few captures are endless.
    """


def overhead(before: Traces, after: Traces) -> Overhead:
    """The price of having turned `before` into `after`.

    Raises ValueError where it has no meaning: no captures, or a different number of them.
    """
    if not len(before) or len(before) != len(after):
        raise ValueError("both sides must hold the same captures, and at least one")
    return Overhead(_growth(_bytes(before), _bytes(after)), _growth(_duration(before), _duration(after)))


def durations(traces: Traces) -> NDArray[np.float64]:
    """(n,) seconds from the first to the last packet of each capture."""
    if not len(traces):
        return np.empty(0)
    start = traces.offset[:-1]
    return np.maximum.reduceat(traces.time, start) - np.minimum.reduceat(traces.time, start)


def _bytes(traces: Traces) -> float:
    return float(np.abs(traces.size.astype(np.int64)).sum())


def _duration(traces: Traces) -> float:
    return float(np.median(durations(traces)))


def _growth(before: float, after: float) -> float:
    """The relative growth; nothing that stays nothing has not grown, and anything is infinitely more than nothing."""
    if before == 0:
        return 0.0 if after == 0 else float("inf")
    return (after - before) / before
