"""WTF-PAD: adaptive padding that fills conspicuous gaps with dummies."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.defences.traces.base import TraceDefence
from app.defences.traces.packets import Floats, Integers, camouflage, counted, with_dummies
from app.parameters import parameter
from app.traces import Traces

BINS = 20
"""Bins of a histogram; the paper uses bins of exponentially growing width, as here."""


@dataclass(frozen=True)
class WTFPad(TraceDefence):
    """Both ends run a timer drawn from a histogram after every packet and send a dummy when it runs out.

    After a real packet the timer comes from the burst histogram, after a dummy from the gap histogram; the infinity
    bin sends the end back to sleep until the next real packet. Delays nothing.
    """

    title: ClassVar[str] = "WTF-PAD"
    source: ClassVar[str] = (
        "Juarez, Imani, Perry, Diaz and Wright 2016, ESORICS; variant: log-normal histograms fitted to these captures, "
        "without removal of tokens, the same for packets sent and received"
    )

    burst_delay: float = parameter(0.03, "Median of the burst histogram.", minimum=0.0001, maximum=10, unit="s")
    gap_delay: float = parameter(0.02, "Median of the gap histogram.", minimum=0.0001, maximum=10, unit="s")
    spread: float = parameter(1.0, "Standard deviation of both histograms on a log scale.", minimum=0.01, maximum=4)
    client_sleep: float = parameter(
        0.4, "Share of the client's burst histogram in the infinity bin.", minimum=0, maximum=1
    )
    server_sleep: float = parameter(
        0.2, "Share of the server's burst histogram in the infinity bin.", minimum=0, maximum=1
    )
    client_run: float = parameter(2.0, "Mean number of dummies the client sends in a row.", minimum=1, maximum=100)
    server_run: float = parameter(8.0, "Mean number of dummies the server sends in a row.", minimum=1, maximum=100)

    def reshape(self, traces: Traces, labels: NDArray[np.int32], rng: np.random.Generator) -> Traces:
        """The captures with the dummies of both ends."""
        out_owner, out_time = self._dummies(traces, self.client_sleep, self.client_run, rng)
        in_owner, in_time = self._dummies(traces, self.server_sleep, self.server_run, rng)
        size = [camouflage(traces, 1, len(out_owner), rng), camouflage(traces, -1, len(in_owner), rng)]
        owner, time = np.concatenate([out_owner, in_owner]), np.concatenate([out_time, in_time])
        return with_dummies(traces, owner, np.concatenate(size), time)

    def _dummies(self, traces: Traces, sleep: float, run: float, rng: np.random.Generator) -> tuple[Integers, Floats]:
        """Owner and time of the dummies of one end.

        A real packet resets the machine, so every packet starts an independent run: its first timer, a geometric
        number of further ones, cut off by the next real packet. After the last packet a run may finish.
        """
        following = np.append(traces.time[1:], np.inf)
        following[traces.offset[1:] - 1] = np.inf
        first = traces.time + self.timers(self.burst_delay, len(traces.time), rng)
        awake = np.flatnonzero((first < following) & (rng.random(len(first)) >= sleep))
        packet, place = counted(rng.geometric(1 / run, len(awake)))
        gaps = np.where(place == 0, 0.0, self.timers(self.gap_delay, len(packet), rng))
        total = np.cumsum(gaps)
        time = first[awake][packet] + total - total[np.flatnonzero(place == 0)][packet]
        kept = time < following[awake][packet]
        return traces.owner[awake][packet[kept]], time[kept]

    def timers(self, median: float, count: int, rng: np.random.Generator) -> Floats:
        """(count,) delays from a histogram with exponential bins and log-normal token counts, uniform within a bin."""
        edges = np.linspace(-3, 3, BINS + 1)
        tokens = np.exp(-((edges[1:] + edges[:-1]) ** 2) / 8)
        chosen = rng.choice(BINS, count, p=tokens / tokens.sum())
        bounds = median * np.exp(self.spread * edges)
        delays: Floats = rng.uniform(bounds[chosen], bounds[chosen + 1])
        return delays
