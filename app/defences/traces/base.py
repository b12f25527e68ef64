"""What every protection of packet traces has in common."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.defences.traces.packets import answered, settled
from app.traces import Traces

LONGEST = 86_400
"""Seconds; a clock that is off by days must not fill the memory with dummies."""


class TraceDefence(ABC):
    """A protection of captures: a frozen dataclass whose fields are its settings, with the defaults of its paper.

    The published defences count Tor cells; these captures count TCP packets with their bytes on the wire,
    so each file says where a default is scaled. They are simulated on finished captures: a delayed request
    does not delay its response a second time.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue; and which variant this is."""

    def protect(self, traces: Traces, labels: NDArray[np.int32], rng: np.random.Generator) -> Traces:
        """The captures as they look on the wire under this defence.

        `labels` (n,) are the cells of the captures. No real byte is lost, no real packet leaves earlier than it did,
        every capture begins at or shortly after 0 s, its times never fall, and both directions speak.
        Raises ValueError when a capture is empty or lasts longer than a day, or when the labels do not match.
        """
        if len(labels) != len(traces):
            raise ValueError("there must be one label per capture")
        if (traces.length < 1).any():
            raise ValueError("every capture needs at least one packet")
        if not len(traces):
            return traces
        real = settled(traces)
        if real.time.max() > LONGEST:
            raise ValueError(f"a capture is too long: at most {LONGEST:,} seconds")
        return answered(self.reshape(real, labels, rng))

    @abstractmethod
    def reshape(self, traces: Traces, labels: NDArray[np.int32], rng: np.random.Generator) -> Traces:
        """The defence itself, on non-empty captures that begin at 0 s and whose times never fall."""
