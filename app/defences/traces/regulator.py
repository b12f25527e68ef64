"""RegulaTor: downloads in surges of decaying rate, uploads as a fixed fraction of them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.defences.traces.base import TraceDefence
from app.defences.traces.packets import CELL, MTU, Floats, Integers, counted, served
from app.parameters import parameter
from app.traces import Traces


@dataclass(frozen=True)
class RegulaTor(TraceDefence):
    """Re-times downloads into surges, tops them up with dummies, and sends uploads in proportion."""

    title: ClassVar[str] = "RegulaTor"
    source: ClassVar[str] = (
        "Holland and Hopper 2022, PoPETs; variant: 'heavy' settings, with rate and budget scaled from cells of fast "
        "pages to captures of some 400 TCP packets in 12 s; a slot carries up to one full packet of queued bytes"
    )

    surge_rate: float = parameter(
        70.0, "Download rate at the start of a surge (paper: 277 cells/s).", minimum=2, maximum=5000, unit="packets/s"
    )
    decay: float = parameter(0.94, "Factor of the rate per second.", minimum=0.1, maximum=0.999)
    threshold: float = parameter(
        3.55,
        "A new surge begins when this many seconds of the current rate are queued.",
        minimum=0.01,
        maximum=100,
        unit="s",
    )
    budget: int = parameter(
        350,
        "Most download dummies; each capture draws its own (paper: 3,550 cells).",
        minimum=0,
        maximum=50_000,
        unit="packets",
    )
    upload_ratio: float = parameter(3.95, "Download packets per upload packet.", minimum=1, maximum=100)
    delay_cap: float = parameter(1.77, "Longest wait of an upload packet.", minimum=0, maximum=60, unit="s")

    def reshape(self, traces: Traces, labels: NDArray[np.int32], rng: np.random.Generator) -> Traces:
        """The captures, each through its own two queues."""
        budget = rng.integers(0, self.budget, len(traces), endpoint=True)
        regulated = [self._capture(*traces.capture(i), int(budget[i])) for i in range(len(traces))]
        return Traces.from_captures([size for size, _ in regulated], [time for _, time in regulated])

    def _capture(self, size: NDArray[np.int32], time: Floats, budget: int) -> tuple[Integers, Floats]:
        incoming = size < 0
        down = self._downloads(-size[incoming].astype(np.int64), time[incoming], budget)
        up = self._uploads(size[~incoming].astype(np.int64), time[~incoming], down)
        signed = np.repeat([CELL, -MTU], [len(up), len(down)])
        both = np.concatenate([up, down])
        order = np.argsort(both, kind="stable")
        return signed[order], both[order]

    def _downloads(self, volume: Integers, time: Floats, budget: int) -> Floats:
        """Times of the download packets: slots that carry real bytes, and empty ones while the budget lasts."""
        if not len(volume):
            return np.empty(0)
        slots, out = self.schedule(volume, time)
        dummy = np.diff(out, prepend=0) == 0
        kept: Floats = slots[~dummy | (np.cumsum(dummy) <= budget)]
        return kept

    def schedule(self, volume: Integers, time: Floats) -> tuple[Floats, Integers]:
        """Times of the download slots and the real bytes out after each, until every byte is out.

        `volume`, `time` (p,): bytes and times of the real download packets, p >= 1. Each stretch of slots begins
        where the queue crosses a threshold, and is worked on as a whole.
        """
        arrived = np.append(0, np.cumsum(volume))
        start, done, saturated = float(time[0]), 0, False
        slots, out = [], []
        while done < arrived[-1]:
            stretch, after = self._stretch(arrived, time, start, done, saturated)
            slots.append(stretch)
            out.append(after)
            start, done = float(stretch[-1]) + 1 / self.surge_rate, int(after[-1])
            queued = int(arrived[np.searchsorted(time, stretch[-1], "right")]) - done
            saturated = queued > self.threshold * self.surge_rate * MTU
        return np.concatenate(slots), np.concatenate(out)

    def _stretch(
        self, arrived: Integers, time: Floats, start: float, done: int, saturated: bool
    ) -> tuple[Floats, Integers]:
        """The slots from `start` until the queue asks for a new surge or is empty for good.

        A saturated queue keeps the full rate, since every slot would start a new surge. The stretch is tried in
        pieces of doubling length, so the work stays proportional to its slots.
        """
        pieces: list[tuple[Floats, Integers]] = []
        first, width = 0, 32
        while True:
            place = np.arange(first, first + width)
            slots, rate = self._pace(place, saturated)
            queue = arrived[np.searchsorted(time, start + slots, "right")]
            out = served(queue, MTU, done)
            crowded = queue - out > self.threshold * rate * MTU
            stops = (crowded != saturated) | (out >= arrived[-1])
            end = int(np.argmax(stops)) + 1 if stops.any() else width
            pieces.append((start + slots[:end], out[:end]))
            if stops.any():
                return np.concatenate([piece[0] for piece in pieces]), np.concatenate([piece[1] for piece in pieces])
            first, width, done = first + width, 2 * width, int(out[-1])

    def _pace(self, place: Integers, saturated: bool) -> tuple[Floats, Floats]:
        """Seconds since the start of the stretch and the rate there, of its slots number `place`.

        The slots count the integral of surge_rate * decay**t, which stops falling at one packet per second.
        """
        if saturated:
            return place / self.surge_rate, np.full(len(place), self.surge_rate)
        fall = -np.log(self.decay)
        slow = (self.surge_rate - 1) / fall
        age = -np.log(1 - np.minimum(place, slow) * fall / self.surge_rate) / fall + np.maximum(place - slow, 0)
        return age, np.maximum(self.surge_rate * np.exp(-fall * age), 1.0)

    def _uploads(self, volume: Integers, time: Floats, down: Floats) -> Floats:
        """Times of the upload packets: one per `upload_ratio` downloads, and real ones that cannot wait for those."""
        slots = down[(np.arange(int(len(down) / self.upload_ratio)) * self.upload_ratio).astype(np.int64)]
        if not len(volume):
            return slots
        arrived = np.append(0, np.cumsum(volume))
        out = served(arrived[np.searchsorted(time, slots, "right")], CELL, 0)
        leaves = np.append(slots, np.inf)[np.searchsorted(out, arrived[1:])]
        # What the client says before the first download opens the connection: holding it back would delay everything.
        opening = time <= (down[0] if len(down) else np.inf)
        latest = np.where(opening, time, time + self.delay_cap)
        late = leaves > latest
        packet, _ = counted(-(-volume[late] // CELL))
        return np.concatenate([slots, latest[late][packet]])
