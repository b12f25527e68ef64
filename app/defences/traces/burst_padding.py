"""Burst padding: every burst is filled up to a round number of full packets."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.defences.traces.base import TraceDefence
from app.defences.traces.packets import CELL, MTU, Floats, Integers, bursts, counted, with_dummies
from app.parameters import parameter
from app.traces import Traces


@dataclass(frozen=True)
class BurstPadding(TraceDefence):
    """Pads packets to full size and appends dummies to every burst; delays nothing."""

    title: ClassVar[str] = "Burst padding"
    source: ClassVar[str] = (
        "Dyer, Coull, Ristenpart and Shrimpton 2012, IEEE S&P, who pad single packets to the MTU or exponentially; "
        "variant: packets are padded to whole cells or to the MTU, and bursts to the next power of `base` packets"
    )

    base: float = parameter(
        2.0, "A burst is padded to the next power of this number of packets.", minimum=1.05, maximum=64
    )
    gap: float = parameter(0.0001, "Time between the dummies at the end of a burst.", minimum=0, maximum=1, unit="s")

    def reshape(self, traces: Traces, labels: NDArray[np.int32], rng: np.random.Generator) -> Traces:
        """The captures with padded packets and padded bursts."""
        padded = Traces(traces.offset, full_packets(traces.size), traces.time)
        owner, size, time = self._dummies(padded)
        return with_dummies(padded, owner, size, time)

    def _dummies(self, traces: Traces) -> tuple[Integers, Integers, Floats]:
        """Owner, size and time of the dummies that end each burst, all of them before the next burst begins."""
        runs = bursts(traces)
        power = np.ceil(np.log(runs.length) / np.log(self.base) - 1e-9)
        missing = np.maximum(np.ceil(self.base**power - 1e-9).astype(np.int64) - runs.length, 0)
        end = traces.time[runs.start[1:] - 1]
        following = np.where(runs.last_of_capture, np.inf, np.append(traces.time, np.inf)[runs.start[1:]])
        step = np.minimum(self.gap, (following - end) / (missing + 1))
        run, place = counted(missing)
        size = np.where(runs.outgoing, CELL, -MTU)[run]
        return runs.owner[run], size, end[run] + step[run] * (place + 1)


def full_packets(size: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sizes padded to whole cells when they go out, to the MTU when they come in; larger ones stay."""
    outgoing = np.where(size <= CELL, CELL, CELL + (CELL - 62) * -(-(size - CELL) // (CELL - 62)))
    return np.where(size > 0, np.maximum(np.minimum(outgoing, 4420), size), np.minimum(size, -MTU)).astype(np.int32)
