"""Building blocks of the protections: whole-array work on packets, bursts and queues."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.traces import Traces

CELL = 576
"""Bytes on the wire of a TCP packet that carries one Tor cell: 514, TLS 22, TCP/IP 40."""
MTU = 1500
"""Bytes of a full TCP packet."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def settled(traces: Traces) -> Traces:
    """The captures moved to begin at 0 s, with re-ordered packets held back until the packet in front of them.

    A packet that stands behind a later one in the file waits for it, so times never fall; it is never sent earlier.
    """
    first = np.minimum.reduceat(traces.time, traces.offset[:-1])
    time = traces.time - np.repeat(first, traces.length)
    falls = np.flatnonzero(np.diff(time) < 0) + 1
    for index in np.unique(traces.owner[falls]):
        packets = slice(traces.offset[index], traces.offset[index + 1])
        time[packets] = np.maximum.accumulate(time[packets])
    return Traces(traces.offset, traces.size, time)


def in_order(captures: int, owner: Integers, size: NDArray[np.integer], time: Floats) -> Traces:
    """Traces from packets in any order: each goes to its owner, by time; equal times keep their order."""
    order = np.lexsort((time, owner))
    offset = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=captures))]).astype(np.int64)
    return Traces(offset, size[order].astype(np.int32), time[order])


def with_dummies(traces: Traces, owner: Integers, size: NDArray[np.integer], time: Floats) -> Traces:
    """The captures with dummy packets merged in by time."""
    return in_order(
        len(traces),
        np.concatenate([traces.owner, owner]),
        np.concatenate([traces.size, size]),
        np.concatenate([traces.time, time]),
    )


def answered(traces: Traces) -> Traces:
    """The captures, with one last dummy packet in a direction that would otherwise be silent."""
    outgoing = np.bincount(traces.owner[traces.size > 0], minlength=len(traces))
    silent_out, silent_in = np.flatnonzero(outgoing == 0), np.flatnonzero(outgoing == traces.length)
    owner = np.concatenate([silent_out, silent_in])
    if not len(owner):
        return traces
    size = np.concatenate([np.full(len(silent_out), CELL), np.full(len(silent_in), -CELL)])
    return with_dummies(traces, owner, size, traces.time[traces.offset[owner + 1] - 1])


def camouflage(traces: Traces, direction: int, count: int, rng: np.random.Generator) -> Integers:
    """(count,) sizes for dummies, drawn from the real packets of that direction (+1 out, -1 in).

    The papers pad with Tor cells, which all look alike; drawing from the real sizes keeps that promise for TCP.
    """
    pool = traces.size[traces.size * direction > 0]
    if not len(pool):
        return np.full(count, direction * CELL, np.int64)
    return rng.choice(pool, count).astype(np.int64)


@dataclass(frozen=True)
class Bursts:
    """The b maximal runs of packets of one capture in one direction, over all captures in file order."""

    start: Integers
    """(b + 1,): burst i owns the packets start[i] to start[i + 1]."""
    owner: Integers
    """(b,): the capture of each burst."""
    outgoing: NDArray[np.bool_]
    """(b,): whether the client sends."""

    @property
    def length(self) -> Integers:
        """(b,): packets of each burst."""
        return np.diff(self.start)

    @property
    def last_of_capture(self) -> NDArray[np.bool_]:
        """(b,): whether the burst ends its capture."""
        return np.append(self.owner[1:] != self.owner[:-1], True)


def bursts(traces: Traces) -> Bursts:
    """The bursts of non-empty captures."""
    outgoing = traces.size > 0
    begins = np.append(True, outgoing[1:] != outgoing[:-1])
    begins[traces.offset[:-1]] = True
    start = np.flatnonzero(begins)
    return Bursts(np.append(start, len(outgoing)), traces.owner[start], outgoing[start])


def counted(counts: Integers) -> tuple[Integers, Integers]:
    """For runs of the given lengths, one behind the other: the run and the place within it of every item."""
    run = np.repeat(np.arange(len(counts)), counts)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts)


def served(arrived: Integers, packet: int, before: int) -> Integers:
    """Real bytes that a queue has let out after each of its slots, first come, first served.

    `arrived` (s,) are the real bytes that were handed to the queue until each slot, `before` those already out;
    a slot carries up to `packet` bytes. Unrolls out[j] = min(out[j - 1] + packet, arrived[j]) into one running minimum.
    """
    capacity = packet * np.arange(1, len(arrived) + 1)
    return capacity + np.minimum(before, np.minimum.accumulate(arrived - capacity))
