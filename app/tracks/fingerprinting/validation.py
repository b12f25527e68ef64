"""The rules of a defence: every fault at once, with its bounds, its places and how to mend it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.errors import Reason
from app.tracks.fingerprinting.captures import Captures

if TYPE_CHECKING:
    from app.tracks.fingerprinting.settings import Settings

SHOWN = 5
MAX_SIZE = 65_535
"""Bytes: what one IP packet can carry. Captures on the own machine contain packets beyond the MTU (offloading)."""
LATEST_START = 1.0
"""Seconds: timestamps count from the start of the capture, not from 1970."""
LONGEST = 3600.0
"""Seconds."""
FASTEST = 125_000_000
"""Bytes per second: 1 Gbit/s. Faster captures have scaled timestamps."""


def check(captures: Captures, settings: "Settings") -> list[Reason]:
    """Everything that is wrong with at least one capture; an empty list if the defence can play."""
    rules = (_cells, _repetitions, _lengths)
    reasons = [reason for rule in rules for reason in rule(captures, settings)]
    return [*reasons, *_sizes(captures), *_directions(captures), *_times(captures), *_spans(captures)]


def repetitions_allowed(settings: "Settings") -> tuple[int, int]:
    """The fewest and the most repetitions that a cell may have."""
    mean, deviation = settings.MEAN_NB_REP_PER_CLASS, settings.DEVIATION_NB_REP_PER_CLASS
    return max(1, mean - deviation + 1), mean + deviation - 1


def _cells(captures: Captures, settings: "Settings") -> Iterator[Reason]:
    count = settings.NB_CLASSES
    rule = f"The cells are exactly 1 to {count}."
    found = np.unique(captures.cell)
    missing = np.setdiff1d(np.arange(1, count + 1), found)
    extra = found[(found < 1) | (found > count)]
    if len(missing):
        yield Reason(rule, f"missing: {_ranges(missing)}", "Capture the missing cells.", len(missing))
    if len(extra):
        first = np.searchsorted(captures.cell, extra[:SHOWN])
        places = _place_packets(captures, captures.traces.offset[first])
        fix = "Remove these cells, or number the cells from 1."
        yield Reason(rule, f"other cells: {_ranges(extra)} ({places})", fix, len(extra))


def _repetitions(captures: Captures, settings: "Settings") -> Iterator[Reason]:
    fewest, most = repetitions_allowed(settings)
    cell, count = np.unique(captures.cell, return_counts=True)
    known = (cell >= 1) & (cell <= settings.NB_CLASSES)
    for bad, fix in (
        (known & (count < fewest), "Capture these cells more often."),
        (known & (count > most), "Leave out some captures of these cells."),
    ):
        if bad.any():
            pairs = [f"cell {name} has {times}" for name, times in zip(cell[bad], count[bad], strict=True)]
            yield Reason(f"Every cell has between {fewest} and {most} repetitions.", _first(pairs), fix, len(pairs))


def _lengths(captures: Captures, settings: "Settings") -> Iterator[Reason]:
    fewest, length = settings.ROWS_PER_CAPTURE + 1, captures.traces.length
    bad = np.flatnonzero(length < fewest)
    if len(bad):
        found = _place_captures(captures, bad, [f"{length[one]} packets" for one in bad[:SHOWN]])
        fix = "Capture these repetitions again, or leave them out."
        yield Reason(f"Every capture has at least {fewest} packets.", found, fix, len(bad))


def _sizes(captures: Captures) -> Iterator[Reason]:
    size = captures.traces.size
    zero = np.flatnonzero(size == 0)
    large = np.flatnonzero((size > MAX_SIZE) | (size < -MAX_SIZE))
    if len(zero):
        fix = "Leave packets without payload out."
        yield Reason("No packet has the size 0.", _place_packets(captures, zero), fix, len(zero))
    if len(large):
        values = [str(size[packet]) for packet in large[:SHOWN]]
        rule = f"A packet has at most {MAX_SIZE:,} bytes (+ from the client, - to the client)."
        fix = "Write one row per packet, not sums of packets."
        yield Reason(rule, _place_packets(captures, large, values), fix, len(large))


def _directions(captures: Captures) -> Iterator[Reason]:
    start, size = captures.traces.offset[:-1], captures.traces.size
    most, least = np.maximum.reduceat(size, start), np.minimum.reduceat(size, start)
    for bad, word in ((most <= 0, "positive (from the client)"), (least >= 0, "negative (to the client)")):
        alone = np.flatnonzero(bad)
        if len(alone):
            rule = "Every capture has packets in both directions, + from the client and - to the client."
            found = f"nothing {word} in {_place_captures(captures, alone)}"
            yield Reason(rule, found, "Give sizes their sign, and capture both directions.", len(alone))


def _times(captures: Captures) -> Iterator[Reason]:
    time = captures.traces.time
    for bad, rule, fix in (
        (~np.isfinite(time), "Every timestamp is a finite number.", "Remove packets without a time (NaN, infinity)."),
        (time < 0, "No timestamp is negative.", "Count the seconds from the first packet of the capture."),
    ):
        packets = np.flatnonzero(bad)
        if len(packets):
            values = [f"{time[packet]:g}" for packet in packets[:SHOWN]]
            yield Reason(rule, _place_packets(captures, packets, values), fix, len(packets))


def _spans(captures: Captures) -> Iterator[Reason]:
    """Rules about a whole capture's times, for those whose times are numbers."""
    start, time = captures.traces.offset[:-1], captures.traces.time
    first = time[start]
    duration = np.maximum.reduceat(time, start) - np.minimum.reduceat(time, start)
    late = np.flatnonzero(np.isfinite(first) & (first > LATEST_START))
    if len(late):
        rule = f"The first packet of a capture comes at most {LATEST_START:g} s after 0."
        found = _place_captures(captures, late, [f"{first[one]:g} s" for one in late[:SHOWN]])
        yield Reason(rule, found, "Subtract the time of the first packet of each capture from its times.", len(late))
    long = np.flatnonzero(np.isfinite(duration) & (duration > LONGEST))
    if len(long):
        found = _place_captures(captures, long, [f"{duration[one]:,.0f} s" for one in long[:SHOWN]])
        fix = "Give timestamps in seconds, and one capture per repetition."
        yield Reason(f"A capture lasts at most {LONGEST:,.0f} s.", found, fix, len(long))
    yield from _speeds(captures, duration)


def _speeds(captures: Captures, duration: NDArray[np.float64]) -> Iterator[Reason]:
    """A capture of B bytes takes at least B / FASTEST seconds: scaled timestamps would buy a better utility."""
    start = captures.traces.offset[:-1]
    volume = np.add.reduceat(np.abs(captures.traces.size), start, dtype=np.int64)
    shortest = volume / FASTEST
    bad = np.flatnonzero(np.isfinite(duration) & (duration < shortest))
    if len(bad):
        values = [f"{volume[one]:,} bytes in {duration[one]:.3g} s, not {shortest[one]:.3g} s" for one in bad[:SHOWN]]
        rule = (
            f"A capture is not faster than {FASTEST / 1e6:g} MB/s (1 Gbit/s): "
            f"from its first to its last packet it takes at least its bytes / {FASTEST:,} seconds."
        )
        fix = "Give the times as they were measured, in seconds."
        yield Reason(rule, _place_captures(captures, bad, values), fix, len(bad))


def _place_packets(captures: Captures, packets: NDArray[np.int64], values: list[str] | None = None) -> str:
    """The first few of these packets, by line (or capture) and value."""
    few = packets[:SHOWN]
    if captures.line_of is not None:
        places = [f"line {line}" for line in captures.line_of(few)]
    else:
        owner = np.searchsorted(captures.traces.offset, few, side="right") - 1
        places = [
            f"cell {captures.cell[one]} rep {captures.rep[one]} packet {packet - captures.traces.offset[one] + 1}"
            for one, packet in zip(owner, few, strict=True)
        ]
    return _join(places, values, len(packets))


def _place_captures(captures: Captures, which: NDArray[np.int64], values: list[str] | None = None) -> str:
    """The first few of these captures, by cell, repetition and value."""
    places = [f"cell {captures.cell[one]} rep {captures.rep[one]}" for one in which[:SHOWN]]
    return _join(places, values, len(which))


def _join(places: list[str], values: list[str] | None, count: int) -> str:
    texts = places if values is None else [f"{place}: {value}" for place, value in zip(places, values, strict=True)]
    return ", ".join(texts) + (", …" if count > SHOWN else "")


def _first(texts: list[str]) -> str:
    return ", ".join(texts[:SHOWN]) + (", …" if len(texts) > SHOWN else "")


def _ranges(numbers: NDArray[np.integer]) -> str:
    """Sorted numbers in the short form "1-3, 7"."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    texts = [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
    return _first(texts)
