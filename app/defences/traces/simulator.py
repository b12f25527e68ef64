"""Simulated Tor captures: pages of requests and responses, on circuits that are never the same twice.

Calibrated to real captures of a location service behind Tor: medians of 440 kB in, 27 kB out, 12.5 s, 425 packets.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.defences.traces.packets import Floats, Integers, counted
from app.parameters import parameter
from app.traces import Traces, gather

CELL_BYTES = 514
TLS_BYTES = 22
"""What a TLS record adds to the cells in it."""
HEADER_BYTES = 40
"""IP and TCP headers of a packet."""
SEGMENT_BYTES = 1460
"""Most payload of a packet that comes in; the client's kernel hands larger ones to its network card."""
PIECE = 7.0
"""Cells that mostly arrive in one TLS record."""
FLOW_WINDOW = 50
"""Incoming cells per flow-control cell of the client."""


@dataclass(frozen=True)
class Exchanges:
    """Requests with their responses, of many pages or of many captures, one behind the other."""

    offset: Integers
    """(n + 1,): page or capture i owns the exchanges offset[i] to offset[i + 1]."""
    asks: Integers
    """(k,): cells of the request."""
    answers: Integers
    """(k,): cells of the response."""

    def select(self, kept: NDArray[np.integer]) -> "Exchanges":
        """The exchanges at ascending-by-owner positions `kept`."""
        owner = np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))[kept]
        offset = np.searchsorted(owner, np.arange(len(self.offset)))
        return Exchanges(offset, self.asks[kept], self.answers[kept])


@dataclass(frozen=True)
class Simulator:
    """A location service behind Tor; every cell has its page, put together from resources that pages share."""

    library: int = parameter(60, "Resources that the pages share.", minimum=2, maximum=10_000)
    exchanges: float = parameter(24.0, "Median exchanges of a page.", minimum=4, maximum=1000)
    diversity: float = parameter(0.3, "Spread of page lengths on a log scale.", minimum=0, maximum=2)
    swaps: float = parameter(1.8, "Places by which requests change their order.", minimum=0, maximum=50)
    missing: float = parameter(0.04, "Share of exchanges that a capture lacks, or has twice.", minimum=0, maximum=0.4)
    size_noise: float = parameter(0.05, "Spread of a response's size on a log scale.", minimum=0, maximum=2)
    round_trip: float = parameter(0.38, "Median round-trip time of a circuit.", minimum=0.001, maximum=10, unit="s")
    bandwidth: float = parameter(300.0, "Median rate of a circuit in cells.", minimum=1, maximum=100_000, unit="1/s")
    circuits: float = parameter(0.5, "Spread of the speed of circuits on a log scale.", minimum=0, maximum=2)
    loss: float = parameter(0.002, "Share of packets that come late, after a retransmission.", minimum=0, maximum=0.5)
    reordered: float = parameter(0.003, "Share of captures with packets in the wrong order.", minimum=0, maximum=1)
    truncated: float = parameter(0.01, "Share of captures that break off early.", minimum=0, maximum=1)

    def pages(self, classes: int, rng: np.random.Generator) -> Exchanges:
        """The page of every cell: a short opening, then resources of the library in the page's own order."""
        # Even steps instead of draws: every library is equally heavy, so the medians do not depend on the seed.
        step = (np.arange(self.library) + 0.5) / self.library
        kind = np.searchsorted([0.45, 0.75], step)
        level = np.array([0.0, 1.8, 4.75])[kind]
        spread = np.array([0.4, 0.7, 0.4])[kind]
        sizes = np.exp(level + spread * rng.permutation(2 * np.sqrt(3) * (step - 0.5)))
        answers = np.maximum(np.rint(sizes), 1).astype(np.int64)
        asks = rng.permutation(np.array([1, 2, 4, 8])[np.searchsorted([0.8, 0.92, 0.98], step)])
        length = np.rint(self.exchanges * np.exp(self.diversity * rng.standard_normal(classes))).astype(np.int64)
        length = np.clip(length, 4, 40 * int(self.exchanges))
        chosen = rng.integers(0, self.library, int(length.sum()))
        return Exchanges(np.append(0, np.cumsum(length)), asks[chosen], answers[chosen])

    def visits(self, pages: Exchanges, cell: Integers, rng: np.random.Generator) -> Exchanges:
        """One visit per entry of `cell` (n,), an index of a page: lost, doubled, swapped and resized exchanges."""
        chosen, offset = gather(pages.offset, cell)
        owner, place = counted(np.diff(offset))
        copies = rng.choice(3, len(owner), p=[self.missing, 1 - 2 * self.missing, self.missing])
        broken = rng.random(len(cell)) < self.truncated
        share = np.where(broken, rng.uniform(0.1, 1, len(cell)), 1)
        copies[place >= share[owner] * np.diff(offset)[owner]] = 0
        copies[place < 3] = 1
        order = np.lexsort((place + self.swaps * rng.standard_normal(len(place)), owner))
        repeated, _ = counted(copies[order])
        kept = order[repeated]
        visit = Exchanges(offset, pages.asks[chosen], pages.answers[chosen]).select(kept)
        noise = np.exp(self.size_noise * rng.standard_normal(len(kept)))
        return Exchanges(visit.offset, visit.asks, np.maximum(np.rint(visit.answers * noise), 1).astype(np.int64))

    def captures(self, visits: Exchanges, congestion: Floats, rng: np.random.Generator) -> Traces:
        """The packets of visits; `congestion` (n,) slows each circuit down."""
        count = len(congestion)
        owner, _ = counted(np.diff(visits.offset))
        records = _conversation(visits, owner, rng)
        record, size, begins = _segments(records)
        gap = np.where(begins, self._waits(records, owner[records.exchange], congestion, rng)[record], 0)
        gap += np.where(begins, 0, rng.exponential(5e-5, len(record)))
        gap += np.where(rng.random(len(record)) < self.loss, rng.exponential(0.4, len(record)), 0)
        offset = np.searchsorted(owner[records.exchange][record], np.arange(count + 1))
        elapsed = np.cumsum(gap)
        time = elapsed - np.repeat(elapsed[offset[:-1]], np.diff(offset))
        return self._shuffled(Traces(offset, size, np.round(time, 6)), rng)

    def _waits(self, records: "Records", capture: Integers, congestion: Floats, rng: np.random.Generator) -> Floats:
        """Seconds between each record and the one before it.

        A response takes a round trip to begin and streams at the rate of the circuit; the client answers at once.
        """
        count = len(capture)
        slow = congestion * np.exp(self.circuits * rng.standard_normal((2, len(congestion))))
        trip = self.round_trip * slow[0][capture] * rng.gamma(4, 0.25, count)
        stream = records.cells / self.bandwidth * slow[1][capture] * rng.exponential(1, count)
        return np.where(records.outgoing, rng.exponential(0.0015, count), np.where(records.leads, trip, stream))

    def _shuffled(self, traces: Traces, rng: np.random.Generator) -> Traces:
        """The captures, a few of them with a packet that carries an earlier time than the one in front of it."""
        chosen = np.flatnonzero(rng.random(len(traces)) < self.reordered)
        length = traces.length[chosen]
        packet = traces.offset[chosen] + rng.integers(1, np.maximum(length, 2))
        time = traces.time.copy()
        time[packet] = np.maximum(time[packet - 1] - np.round(rng.exponential(0.002, len(packet)), 6), 0)
        return Traces(traces.offset, traces.size, time)


@dataclass(frozen=True)
class Records:
    """r TLS records in the order in which they are sent."""

    exchange: Integers
    """(r,): the exchange each belongs to."""
    cells: Integers
    outgoing: NDArray[np.bool_]
    leads: NDArray[np.bool_]
    """(r,): whether it is the first of a response."""


def _conversation(visits: Exchanges, owner: Integers, rng: np.random.Generator) -> Records:
    """Every request, the pieces of its response, and the client's flow control between them.

    `owner` (k,) are the captures of the exchanges.
    """
    piece, cells = _pieces(visits.answers, rng)
    full = _windows(owner[piece], cells)
    asked = np.arange(len(owner))
    parts = [asked, piece, piece[full]]
    exchange = np.concatenate(parts)
    rank = np.concatenate([np.full(len(asked), -1.0), np.arange(len(piece)), full + 0.5])
    kind = np.repeat([0, 1, 2], [len(part) for part in parts])
    order = np.lexsort((rank, exchange))
    cells = np.concatenate([visits.asks, cells, np.ones(len(full), np.int64)])
    leads = np.zeros(len(exchange), bool)
    leads[len(asked) : len(asked) + len(piece)] = np.append(True, piece[1:] != piece[:-1])
    return Records(exchange[order], cells[order], kind[order] != 1, leads[order])


def _pieces(answers: Integers, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Responses cut into records of random length: the exchange and the cells of each record."""
    count = 1 + rng.poisson(answers / PIECE)
    exchange, place = counted(count)
    weight = np.cumsum(rng.exponential(1, len(exchange)) + 1e-9)
    ends = np.cumsum(count)
    before = np.append(0.0, weight[ends[:-1] - 1])
    share = (weight - before[exchange]) / (weight[ends - 1] - before)[exchange]
    upto = np.rint(answers[exchange] * share).astype(np.int64)
    cells = np.where(place == 0, upto, np.diff(upto, prepend=0))
    return exchange[cells > 0], cells[cells > 0]


def _windows(capture: Integers, cells: Integers) -> Integers:
    """Positions of the incoming records with which another FLOW_WINDOW cells of a capture are complete."""
    total = np.append(0, np.cumsum(cells))
    start = total[np.searchsorted(capture, capture)]
    return np.flatnonzero((total[1:] - start) // FLOW_WINDOW > (total[:-1] - start) // FLOW_WINDOW)


def _segments(records: Records) -> tuple[Integers, NDArray[np.int32], NDArray[np.bool_]]:
    """Record, signed size and "is the first of its record" of the packets that carry the records."""
    payload = records.cells * CELL_BYTES + TLS_BYTES
    record, place = counted(np.where(records.outgoing, 1, -(-payload // SEGMENT_BYTES)))
    outgoing, left = records.outgoing[record], payload[record] - place * SEGMENT_BYTES
    size = HEADER_BYTES + np.where(outgoing, left, np.minimum(left, SEGMENT_BYTES))
    return record, np.where(outgoing, size, -size).astype(np.int32), place == 0


def simulate(
    classes: int,
    captures_per_class: int | tuple[int, int],
    rng: np.random.Generator,
    *,
    days: int = 7,
    simulator: Simulator | None = None,
) -> tuple[Traces, NDArray[np.int32], NDArray[np.int64]]:
    """Undefended captures, sorted by cell: traces, cell (n,) from 1 to `classes`, repetition (n,).

    `captures_per_class` is one number or the smallest and the largest of a random one. A repetition is
    1000 * day + number, unique within its cell; a day has its own congestion.
    """
    simulator = simulator or Simulator()
    low, high = (
        captures_per_class if isinstance(captures_per_class, tuple) else (captures_per_class, captures_per_class)
    )
    index, number = counted(rng.integers(low, high, classes, endpoint=True))
    day = number % days
    congestion = np.exp(0.15 * rng.standard_normal(days))[day]
    visits = simulator.visits(simulator.pages(classes, rng), index, rng)
    order = np.lexsort((number, day, index))
    traces = simulator.captures(visits, congestion, rng).take(order)
    return traces, (index[order] + 1).astype(np.int32), 1000 * (day[order] + 1) + number[order] + 1
