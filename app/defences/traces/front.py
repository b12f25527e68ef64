"""FRONT: random amounts of dummies that obfuscate the front of a trace."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.defences.traces.base import TraceDefence
from app.defences.traces.packets import Floats, Integers, camouflage, counted, with_dummies
from app.parameters import parameter
from app.traces import Traces


@dataclass(frozen=True)
class Front(TraceDefence):
    """Client and server each send a random number of dummies at Rayleigh-distributed times; delays nothing."""

    title: ClassVar[str] = "FRONT"
    source: ClassVar[str] = (
        "Gong and Wang 2020, USENIX Security; variant: budgets scaled from FT-1's 1,700 cells a side to captures of "
        "some 400 TCP packets; dummies after the last real packet are dropped as in the paper"
    )

    client_budget: int = parameter(
        60, "Most dummies of the client in a capture.", minimum=1, maximum=20_000, unit="packets"
    )
    server_budget: int = parameter(
        200, "Most dummies of the server in a capture.", minimum=1, maximum=20_000, unit="packets"
    )
    shortest_window: float = parameter(1.0, "Smallest Rayleigh scale.", minimum=0.01, maximum=600, unit="s")
    longest_window: float = parameter(14.0, "Largest Rayleigh scale.", minimum=0.01, maximum=600, unit="s")

    def reshape(self, traces: Traces, labels: NDArray[np.int32], rng: np.random.Generator) -> Traces:
        """The captures with the dummies of both sides."""
        out_owner, out_time = self._dummies(traces, self.client_budget, rng)
        in_owner, in_time = self._dummies(traces, self.server_budget, rng)
        size = [camouflage(traces, 1, len(out_owner), rng), camouflage(traces, -1, len(in_owner), rng)]
        owner, time = np.concatenate([out_owner, in_owner]), np.concatenate([out_time, in_time])
        return with_dummies(traces, owner, np.concatenate(size), time)

    def _dummies(self, traces: Traces, budget: int, rng: np.random.Generator) -> tuple[Integers, Floats]:
        """Owner and time of one side's dummies that fall before the end of their capture."""
        count = rng.integers(1, budget, len(traces), endpoint=True)
        shortest, longest = sorted((self.shortest_window, self.longest_window))
        window = rng.uniform(shortest, longest, len(traces))
        owner, _ = counted(count)
        time = rng.rayleigh(window[owner])
        kept = time <= traces.time[traces.offset[1:] - 1][owner]
        return owner[kept], time[kept]
