"""Tamaraw: constant rates in both directions, and lengths rounded up."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.defences.traces.base import TraceDefence
from app.defences.traces.packets import Integers, counted, in_order
from app.parameters import parameter
from app.traces import Traces

MOST_PACKETS = 10**8
"""Of all captures together; more would fill the memory."""


@dataclass(frozen=True)
class Tamaraw(TraceDefence):
    """Sends a packet of one size in every slot of each direction until a multiple of `multiple` slots is full."""

    title: ClassVar[str] = "Tamaraw"
    source: ClassVar[str] = (
        "Cai, Nithyanand, Wang, Johnson and Goldberg 2014, ACM CCS; variant: both directions go on until all real "
        "bytes of both are out, so only the rounded total is left to see"
    )

    packet: int = parameter(750, "Bytes of every packet.", minimum=60, maximum=1500, unit="bytes")
    out_gap: float = parameter(0.04, "Time between outgoing packets.", minimum=0.001, maximum=5, unit="s")
    in_gap: float = parameter(0.012, "Time between incoming packets.", minimum=0.001, maximum=5, unit="s")
    multiple: int = parameter(
        100, "Packets of each direction are a multiple of this.", minimum=1, maximum=5000, unit="packets"
    )

    def reshape(self, traces: Traces, labels: NDArray[np.int32], rng: np.random.Generator) -> Traces:
        """The captures as two combs; their only secret is where they end."""
        out_slots = slots_needed(traces, 1, self.packet, self.out_gap)
        in_slots = slots_needed(traces, -1, self.packet, self.in_gap)
        end = np.maximum((out_slots - 1) * self.out_gap, (in_slots - 1) * self.in_gap)
        outs, ins = self._rounded(end, self.out_gap), self._rounded(end, self.in_gap)
        if outs.sum() + ins.sum() > MOST_PACKETS:
            raise ValueError("the captures last too long for packets at this rate")
        (out_owner, out_place), (in_owner, in_place) = counted(outs), counted(ins)
        size = np.repeat([self.packet, -self.packet], [len(out_owner), len(in_owner)])
        time = np.concatenate([out_place * self.out_gap, in_place * self.in_gap])
        return in_order(len(traces), np.concatenate([out_owner, in_owner]), size, time)

    def _rounded(self, end: NDArray[np.float64], gap: float) -> Integers:
        """(n,) slots of one direction until `end`, rounded up; at least one multiple."""
        slots = np.floor(np.maximum(end, 0) / gap + 1e-6).astype(np.int64) + 1
        return -(-slots // self.multiple) * self.multiple


def slots_needed(traces: Traces, direction: int, packet: int, gap: float) -> Integers:
    """(n,) slots, `gap` seconds apart, until every real byte of a direction (+1 out, -1 in) has left; 0 without any.

    From the slot in which packet i waits, all bytes from i on need at least ceil(bytes / packet) slots;
    the queue runs dry exactly at the largest of these bounds.
    """
    volume = np.maximum(traces.size.astype(np.int64) * direction, 0)
    total = np.cumsum(volume)
    remaining = np.repeat(total[traces.offset[1:] - 1], traces.length) - total + volume
    waits = np.ceil(traces.time / gap - 1e-9).astype(np.int64)
    bound = np.where(volume > 0, waits - (-remaining // packet), 0)
    return np.maximum.reduceat(bound, traces.offset[:-1])
