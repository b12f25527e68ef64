"""The hand-made features of k-fingerprinting (Hayes & Danezis 2016, section 4), vectorised over all captures."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.attacks.fingerprinting import segments
from app.attacks.fingerprinting.features import totals
from app.traces import Traces

CHUNK = 20
"""Packets whose outgoing share is one value of the concentration list."""
EDGE = 30
"""Packets at the beginning and at the end that are counted apart."""
LONGEST = 300
"""Seconds that the rate list covers; a single late packet would otherwise make it arbitrarily long."""


def packet_statistics(traces: Traces) -> NDArray[np.float32]:
    """(n, 140): counts, order, edges, concentration, rate, gaps and transmission times side by side."""
    families = (counts, order, edges, concentration, rate, gaps, transmission)
    return np.hstack([family(traces) for family in families])


def counts(traces: Traces) -> NDArray[np.float32]:
    """(n, 8): bytes in and out, packets in and out, all packets, all bytes, shares of incoming packets and bytes."""
    directions = totals(traces)
    packets, size = directions[:, 2:].sum(axis=1), directions[:, :2].sum(axis=1)
    shares = [directions[:, 2] / np.maximum(packets, 1), directions[:, 0] / np.maximum(size, 1)]
    return np.column_stack([directions, packets, size, *shares]).astype(np.float32)


def order(traces: Traces) -> NDArray[np.float32]:
    """(n, 4): mean and standard deviation of the positions of the outgoing and of the incoming packets."""
    place = segments.column(traces.offset)
    return _columns(
        moment
        for mask in (traces.size >= 0, traces.size < 0)
        for moment in segments.moments(place[mask], segments.kept(mask, traces.offset))
    )


def edges(traces: Traces) -> NDArray[np.float32]:
    """(n, 4): outgoing and incoming packets among the first 30 and among the last 30."""
    place, left = segments.column(traces.offset), np.repeat(traces.offset[1:], traces.length)
    outgoing = traces.size >= 0
    near = (place < EDGE, left - np.arange(len(place)) <= EDGE)
    return _columns(
        np.diff(segments.kept(edge & direction, traces.offset)) for edge in near for direction in (outgoing, ~outgoing)
    )


def concentration(traces: Traces, buckets: int = 70) -> NDArray[np.float32]:
    """(n, 5 + buckets): outgoing packets per chunk of 20: five statistics, and the list summed into buckets."""
    chunk = segments.column(traces.offset) // CHUNK
    return _list_statistics(traces, chunk, -(-traces.length // CHUNK), traces.size >= 0, buckets)


def rate(traces: Traces, buckets: int = 20) -> NDArray[np.float32]:
    """(n, 5 + buckets): packets per second: five statistics, and the list summed into buckets."""
    second = np.clip(traces.time, 0, LONGEST - 1).astype(np.int64)
    seconds = segments.reduced(np.maximum, second, traces.offset).astype(np.int64) + 1
    return _list_statistics(traces, second, seconds, np.ones(len(second)), buckets)


def gaps(traces: Traces) -> NDArray[np.float32]:
    """(n, 12): largest, mean, deviation and third quartile of the gaps of all, of outgoing and of incoming packets."""
    found: list[NDArray] = []
    for mask in _directions(traces):
        time, offset = traces.time[mask], segments.kept(mask, traces.offset)
        inner = np.ones(len(time), bool)
        inner[offset[:-1][np.diff(offset) > 0]] = False
        gap, offset = np.diff(time, prepend=0.0)[inner], segments.kept(inner, offset)
        found += [segments.reduced(np.maximum, gap, offset), *segments.moments(gap, offset)]
        found.append(segments.quantiles(gap, offset, (0.75,))[:, 0])
    return _columns(found)


def transmission(traces: Traces) -> NDArray[np.float32]:
    """(n, 12): quartiles and maximum of the times of all, of outgoing and of incoming packets."""
    shares = (0.25, 0.5, 0.75, 1.0)
    found = [
        segments.quantiles(traces.time[mask], segments.kept(mask, traces.offset), shares)
        for mask in _directions(traces)
    ]
    return np.hstack(found).astype(np.float32)


def _directions(traces: Traces) -> tuple[NDArray[np.bool_], ...]:
    outgoing = traces.size >= 0
    return np.ones(len(outgoing), bool), outgoing, ~outgoing


def _list_statistics(
    traces: Traces, item: NDArray[np.int64], items: NDArray[np.int64], weight: NDArray, buckets: int
) -> NDArray[np.float32]:
    """Statistics of one list per capture: packet p adds weight[p] to its item[p]; items are the lists' lengths."""
    offset = np.concatenate([[0], np.cumsum(items)])
    capture = traces.owner
    values = np.bincount(offset[capture] + item, weights=weight, minlength=int(offset[-1]))
    bucket = segments.column(offset) * buckets // np.repeat(items, items)
    summed = np.bincount(segments.owner(offset) * buckets + bucket, weights=values, minlength=len(traces) * buckets)
    extremes = [segments.reduced(ufunc, values, offset) for ufunc in (np.minimum, np.maximum)]
    median = segments.quantiles(values, offset, (0.5,))
    return np.hstack(
        [np.stack([*segments.moments(values, offset), *extremes], axis=1), median, summed.reshape(-1, buckets)]
    ).astype(np.float32)


def _columns(found: Iterable[NDArray]) -> NDArray[np.float32]:
    return np.stack(list(found), axis=1).astype(np.float32)
