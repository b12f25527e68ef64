"""Walkie-Talkie: one side speaks at a time, and every burst is moulded with a decoy's."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.defences.traces.base import TraceDefence
from app.defences.traces.packets import CELL, MTU, Bursts, Floats, Integers, bursts, counted, in_order
from app.parameters import parameter
from app.traces import Traces, gather


@dataclass(frozen=True)
class Turns:
    """The k turns of all captures; in each the client talks first and listens then."""

    offset: Integers
    """(n + 1,): capture i owns the turns offset[i] to offset[i + 1]."""
    talks: Integers
    """(k,): outgoing packets of CELL bytes that hold the turn's bytes."""
    listens: Integers
    """(k,): incoming packets of MTU bytes."""
    ready: Floats
    """(k,): when all real outgoing bytes of the turn are there; -inf for a turn of dummies only."""
    answer: Floats
    """(k,): seconds from then until the last real byte of the answer is there."""

    @property
    def owner(self) -> Integers:
        """(k,): the capture of each turn."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))


@dataclass(frozen=True)
class WalkieTalkie(TraceDefence):
    """Half-duplex turns, each as large as the larger of the real turn and a decoy's."""

    title: ClassVar[str] = "Walkie-Talkie"
    source: ClassVar[str] = (
        "Wang and Goldberg 2017, USENIX Security; variant: turns are cut from full-duplex captures where the download "
        "pauses, bursts count full TCP packets, and every capture is moulded with random captures of other cells"
    )

    silence: float = parameter(
        0.1, "A pause of the download around a request that starts a new turn.", minimum=0, maximum=10, unit="s"
    )
    decoys: int = parameter(
        2, "Captures of other cells that a capture is moulded with (paper: 1).", minimum=1, maximum=10
    )
    rate: float = parameter(400.0, "Rate of the packets within a burst.", minimum=10, maximum=10_000, unit="packets/s")
    round_trip: float = parameter(
        0.25, "Time from talking to listening where only dummies listen.", minimum=0, maximum=10, unit="s"
    )

    def reshape(self, traces: Traces, labels: NDArray[np.int32], rng: np.random.Generator) -> Traces:
        """The captures as moulded turns."""
        real = turns_of(traces, self.silence, self.round_trip)
        moulded = real
        for _ in range(self.decoys):
            moulded = mould(moulded, real, decoys_of(labels, rng), self.round_trip)
        return self._spoken(moulded)

    def _spoken(self, turns: Turns) -> Traces:
        """The turns on the wire; a burst begins when its real bytes are there and the burst before it is over."""
        talk = turns.talks / self.rate
        heard = np.maximum(talk, turns.answer)
        start = _begins(turns, heard + turns.listens / self.rate)
        out_turn, out_place = counted(turns.talks)
        in_turn, in_place = counted(turns.listens)
        time = [start[out_turn] + out_place / self.rate, (start + heard)[in_turn] + in_place / self.rate]
        size = np.repeat([CELL, -MTU], [len(out_turn), len(in_turn)])
        owner = turns.owner[np.concatenate([out_turn, in_turn])]
        return in_order(len(turns.offset) - 1, owner, size, np.concatenate(time))


def turns_of(traces: Traces, silence: float, round_trip: float) -> Turns:
    """The turns of full-duplex captures.

    A burst of requests starts a turn where the download pauses around it for longer than `silence`; requests in the
    middle of a download wait for the next turn, as a walkie-talkie makes them. The last requests always start one.
    """
    runs = bursts(traces)
    begins, ends = traces.time[runs.start[:-1]], traces.time[runs.start[1:] - 1]
    opens = _opens(runs, begins, ends, silence)
    first = np.append(True, runs.last_of_capture[:-1])
    starts = np.flatnonzero(opens | first)
    turn = np.cumsum(opens | first) - 1 + (runs.outgoing & ~opens)
    volume = np.add.reduceat(np.abs(traces.size).astype(np.int64), runs.start[:-1])
    sums = [np.bincount(turn[side], volume[side], len(starts)) for side in (runs.outgoing, ~runs.outgoing)]
    ready = np.where(runs.outgoing[starts], ends[starts], begins[starts])
    heard = ready.copy()
    np.maximum.at(heard, turn[~runs.outgoing], ends[~runs.outgoing])
    offset = np.searchsorted(runs.owner[starts], np.arange(len(traces) + 1))
    answer = np.where(sums[1] > 0, heard - ready, round_trip)
    return Turns(offset, _packets(sums[0], CELL), _packets(sums[1], MTU), ready, answer)


def mould(turns: Turns, others: Turns, decoy: Integers, round_trip: float) -> Turns:
    """Turn by turn the larger of capture i of `turns` and capture decoy[i] of `others`."""
    chosen, decoy_offset = gather(others.offset, decoy)
    longest = np.maximum(np.diff(turns.offset), np.diff(decoy_offset))
    owner, place = counted(longest)
    mine = _places(turns.offset, owner, place)
    theirs = _places(decoy_offset, owner, place)
    return Turns(
        np.append(0, np.cumsum(longest)),
        np.maximum(np.append(turns.talks, 0)[mine], np.append(others.talks[chosen], 0)[theirs]),
        np.maximum(np.append(turns.listens, 0)[mine], np.append(others.listens[chosen], 0)[theirs]),
        np.append(turns.ready, -np.inf)[mine],
        np.append(turns.answer, round_trip)[mine],
    )


def decoys_of(labels: NDArray[np.int32], rng: np.random.Generator) -> Integers:
    """(n,) a random capture of another cell for each capture; of any cell where there is only one."""
    order = np.argsort(labels, kind="stable")
    _, cell, count = np.unique(labels, return_inverse=True, return_counts=True)
    others = len(labels) - count[cell]
    others = np.where(others == 0, len(labels), others)
    behind = np.cumsum(count)[cell]
    return order.take((behind + rng.integers(0, others)) % len(labels))


def _opens(runs: Bursts, begins: Floats, ends: Floats, silence: float) -> NDArray[np.bool_]:
    """(b,) which bursts of requests start a turn."""
    last = runs.last_of_capture
    before = np.where(np.append(True, last[:-1]), -np.inf, np.append(-np.inf, ends[:-1]))
    after = np.where(last, np.inf, np.append(begins[1:], np.inf))
    # A capture whose last burst comes in has its last requests one burst before.
    last_requests = last | np.append(last[1:] & ~runs.outgoing[1:], False)
    opens: NDArray[np.bool_] = runs.outgoing & ((after - before > silence) | last_requests)
    return opens


def _packets(volume: NDArray[np.number], packet: int) -> Integers:
    """Packets that hold `volume` bytes; at least one, since in every turn both sides speak."""
    return np.maximum(np.ceil(volume / packet), 1).astype(np.int64)


def _places(offset: Integers, owner: Integers, place: Integers) -> Integers:
    """Positions of items number `place` of their owners; those that do not exist point behind the end."""
    positions: Integers = np.where(place < np.diff(offset)[owner], offset[owner] + place, offset[-1])
    return positions


def _begins(turns: Turns, lasts: Floats) -> Floats:
    """When each turn begins: it is ready, and the turn before it, which `lasts` some seconds, is over.

    Unrolls begin[k] = max(ready[k], begin[k - 1] + lasts[k - 1]) into one running maximum per capture.
    """
    begins = np.empty_like(lasts)
    for first, end in zip(turns.offset[:-1], turns.offset[1:], strict=True):
        before = np.append(0.0, np.cumsum(lasts[first : end - 1]))
        begins[first:end] = before + np.maximum.accumulate(turns.ready[first:end] - before)
    return begins
