"""Finds captures that were copied, instead of captured again, so that they never stand on both sides of a split."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from app.traces import Traces

POINTS = 32
"""Places along a capture at which its curves are compared."""
CURVE_TOLERANCE = 1e-3
"""Largest difference of two copies' curves, as a share of their totals."""
TIME_TOLERANCE = 1e-3
"""Largest difference of two exact copies' packet times, in seconds."""
PACKETS = 1 << 18
"""Packets whose cumulative bytes are held in memory at a time."""
LENGTH_WEIGHT = 0.1
"""Copies may differ by CURVE_TOLERANCE / LENGTH_WEIGHT, or 1 %, in their number of packets."""


def copies(traces: Traces, cell: NDArray[np.integer]) -> NDArray[np.int64]:
    """(n,): the group of copies that each capture belongs to, or -1 for the captures that were not copied.

    Two captures of one cell are copies when their sizes agree and their times, aligned at the first packet, agree
    within 1 ms; or when their cumulative bytes and their times, scaled to their totals, stay within 0.1 % of each
    other. Two kinds of equal captures are no copies, because equality is what a defence is for: captures of several
    cells that are equal, and captures at a constant rate and size, which are equal whenever their lengths are.
    """
    group = _groups(traces, np.asarray(cell, np.int64))
    members = np.flatnonzero(group >= 0)
    if not len(members):
        return group
    group[members[constant_rate(traces.take(members))]] = -1
    return _unshared(Curves(traces), np.asarray(cell, np.int64), group)


class Curves:
    """What is compared of n captures: bytes in, bytes out and time at POINTS places along each capture."""

    def __init__(self, traces: Traces) -> None:
        """Compute (n, .) arrays; captures without packets are all zeros."""
        self.traces = traces
        length, filled = traces.length, traces.length > 0
        steps = np.linspace(0.0, 1.0, POINTS)
        places = traces.offset[:-1, None] + np.rint(steps * np.maximum(length - 1, 0)[:, None]).astype(np.int64)
        places[~filled] = 0
        bytes_in, bytes_out = _bytes(traces, places)
        self.time = _aligned(traces.time, places) * filled[:, None]
        self.scaled_time = _scaled(self.time, np.abs(self.time).max(axis=1, initial=0.0))
        logarithm = LENGTH_WEIGHT * np.log(np.maximum(length, 1))[:, None]
        self.size = np.concatenate([bytes_in, bytes_out, logarithm], axis=1, dtype=np.float32) * filled[:, None]
        self.key = self.size.mean(axis=1, dtype=np.float64)

    def equal(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the captures at `first` and `second` are copies of each other, cells aside."""
        sizes = _within(self.size, first, second, CURVE_TOLERANCE)
        scaled = _within(self.scaled_time, first, second, CURVE_TOLERANCE)
        equal = sizes & scaled
        # Only short captures can be within 1 ms but not within 0.1 %, so the sizes of all packets are rarely needed.
        unsure = np.flatnonzero(sizes & ~scaled & _within(self.time, first, second, TIME_TOLERANCE))
        if len(unsure):
            hashes = [_hash(self.traces.take(side[unsure])) for side in (first, second)]
            equal[unsure] = hashes[0] == hashes[1]
        return equal


def _within(
    curves: NDArray[np.floating], first: NDArray[np.int64], second: NDArray[np.int64], tolerance: float
) -> NDArray[np.bool_]:
    difference = np.abs(curves[first] - curves[second]).max(axis=1, initial=0.0)
    # Single precision may put a difference of exactly the tolerance on either side.
    within: NDArray[np.bool_] = difference <= tolerance * (1 + 1e-4)
    return within


def _bytes(traces: Traces, places: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cumulative bytes in and out at the places, each as a share of its own total."""
    bytes_in, bytes_out = np.zeros(places.shape), np.zeros(places.shape)
    for rows in _blocks(traces.offset):
        begin = traces.offset[rows.start]
        size = traces.size[begin : traces.offset[rows.stop]]
        bounds = traces.offset[rows.start : rows.stop + 1] - begin
        for curve, one_way in ((bytes_out, np.maximum(size, 0)), (bytes_in, np.maximum(-size, 0))):
            cumulative = np.concatenate([[0], np.cumsum(one_way, dtype=np.int64)])
            start, end = cumulative[bounds[:-1]], cumulative[bounds[1:]]
            after = np.clip(places[rows] - begin + 1, 0, len(size))
            curve[rows] = _scaled(cumulative[after] - start[:, None], end - start)
    return bytes_in, bytes_out


def _blocks(offset: NDArray[np.int64]) -> Iterator[slice]:
    """Ranges of captures of about PACKETS packets together, so that sums over packets need little memory."""
    first = 0
    while first < len(offset) - 1:
        last = int(np.searchsorted(offset, offset[first] + PACKETS, "right")) - 1
        yield slice(first, last := max(last, first + 1))
        first = last


def _aligned(time: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, POINTS): seconds since the capture's first packet."""
    if not len(time):
        return np.zeros(places.shape)
    picked = time[places]
    return picked - picked[:, :1]


def _scaled(curve: NDArray[np.number], total: NDArray[np.number]) -> NDArray[np.float64]:
    """The curves as shares of their totals; 0 where the total is 0."""
    return np.asarray(curve / np.where(total == 0, 1, total)[:, None], np.float64)


def _hash(traces: Traces) -> NDArray[np.uint64]:
    """(n,): a 64-bit hash of every capture's sequence of sizes."""
    place = np.arange(len(traces.size)) - np.repeat(traces.offset[:-1], traces.length)
    odd = (2 * place.astype(np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (odd ^ (odd >> np.uint64(29))) * traces.size.astype(np.uint64)
    cumulative = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    return np.diff(cumulative[traces.offset])


def _groups(traces: Traces, cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,): connected equal captures within each cell, -1 for captures that equal no other.

    Sorted by cell and by the mean of their curves, which equal captures share within the tolerance, only close
    neighbours have to be compared.
    """
    curves = Curves(traces)
    order = np.lexsort((curves.key, cell))
    key, cells = curves.key[order], cell[order]
    links = [np.empty((0, 2), np.int64)]
    for lag in range(1, len(order)):
        close = np.flatnonzero((cells[lag:] == cells[:-lag]) & (key[lag:] - key[:-lag] <= CURVE_TOLERANCE * (1 + 1e-4)))
        if not len(close):
            break
        first, second = order[close], order[close + lag]
        equal = curves.equal(first, second)
        links.append(np.stack([first[equal], second[equal]], axis=1))
    return _connected(np.concatenate(links), len(order))


def _connected(links: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """(n,): the smallest member of each node's component, -1 for nodes without a link."""
    label = np.arange(n)
    while True:
        before = label.copy()
        lowest = np.minimum(label[links[:, 0]], label[links[:, 1]])
        np.minimum.at(label, links[:, 0], lowest)
        np.minimum.at(label, links[:, 1], lowest)
        label = label[label]
        if np.array_equal(label, before):
            break
    alone = np.ones(n, bool)
    alone[links.ravel()] = False
    label[alone] = -1
    return label


def constant_rate(traces: Traces) -> NDArray[np.bool_]:
    """(n,): whether each capture sends packets of one size at one rate in each direction, as Tamaraw and BuFLO do.

    Nine of ten gaps between packets of one direction lie within 1 % (or 2 microseconds) of their mean.
    """
    stream = 2 * traces.owner + (traces.size > 0)
    order = np.argsort(stream, kind="stable")
    stream, time, size = stream[order], traces.time[order], traces.size[order]
    same = stream[1:] == stream[:-1]
    owner, gap = stream[1:][same], np.diff(time)[same]
    count = np.bincount(owner, minlength=2 * len(traces))
    mean = np.bincount(owner, gap, minlength=2 * len(traces)) / np.maximum(count, 1)
    regular = (np.abs(gap - mean[owner]) <= 0.01 * mean[owner] + 2e-6) & (mean[owner] > 0)
    regular &= np.diff(size)[same] == 0
    share = np.bincount(owner, regular, minlength=2 * len(traces)) / np.maximum(count, 1)
    steady = (share >= 0.9) | (count == 0)
    busy = np.bincount(stream // 2, minlength=len(traces)) >= 4
    return np.asarray(busy & steady.reshape(-1, 2).all(axis=1))


def _unshared(curves: Curves, cell: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The groups of which no other cell has an equal capture."""
    order = np.argsort(curves.key, kind="stable")
    key = curves.key[order]
    for representative in np.unique(group[group >= 0]):
        reach = CURVE_TOLERANCE * (1 + 1e-4)
        low = np.searchsorted(key, curves.key[representative] - reach, "left")
        high = np.searchsorted(key, curves.key[representative] + reach, "right")
        near = order[low:high]
        near = near[cell[near] != cell[representative]]
        if curves.equal(np.full(len(near), representative), near).any():
            group[group == representative] = -1
    return group
