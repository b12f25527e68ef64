"""Feature families of whole captures: each takes traces and returns a float32 matrix with one row per capture.

Everything works on the flat packet arrays; there is no loop over captures. A packet of size 0 counts as outgoing.
"""

import numpy as np
from numpy.typing import NDArray

from app.attacks.fingerprinting import segments
from app.attacks.fingerprinting.bursts import Bursts
from app.traces import Traces


def cumul(traces: Traces, points: int = 100) -> NDArray[np.float32]:
    """(n, 4 + points): bytes and packets per direction, then the cumulative signed bytes at equidistant points.

    Panchenko et al. 2016, section IV: the points are equidistant in the bytes seen so far in both directions
    and the last one is the total. The curve of all captures is one curve, so one interpolation serves all.
    """
    seen = _running(np.abs(traces.size))
    signed = _running(traces.size)
    return np.hstack([totals(traces), _sampled(seen, signed, traces.offset, points)])


def totals(traces: Traces) -> NDArray[np.float32]:
    """(n, 4): bytes in, bytes out, packets in, packets out."""
    outgoing = traces.size >= 0
    sent = _per_capture(np.where(outgoing, traces.size, 0), traces.offset)
    received = _per_capture(np.where(outgoing, 0, -traces.size), traces.offset)
    uploads = _per_capture(outgoing, traces.offset)
    return np.stack([received, sent, traces.length - uploads, uploads], axis=1).astype(np.float32)


def cumulative_incoming(traces: Traces, points: int = 100) -> NDArray[np.float32]:
    """(n, points): incoming bytes received before each of the first outgoing packets; then the total."""
    outgoing = traces.size >= 0
    received = _running(np.where(outgoing, 0, -traces.size))
    offset = segments.kept(outgoing, traces.offset)
    start = np.repeat(received[traces.offset[:-1]], np.diff(offset))
    before = segments.padded(received[1:][outgoing] - start, offset, points)
    total = np.diff(received[traces.offset])
    missing = np.arange(points) >= np.diff(offset)[:, None]
    return np.where(missing, total[:, None], before).astype(np.float32)


def size_histogram(traces: Traces, bins: int = 60, width: int = 50) -> NDArray[np.float32]:
    """(n, 2 bins): packets by direction (out, then in) and size, `width` bytes a bin; the last bin is open."""
    level = np.minimum(np.abs(traces.size) // width, bins - 1) + np.where(traces.size >= 0, 0, bins)
    return _counted(traces.owner, level, len(traces), 2 * bins)


def traffic_aggregation(traces: Traces, slots: int = 300, seconds: float = 30.0) -> NDArray[np.float32]:
    """(n, 2, slots): packets by direction (out, then in) and time slot (Shen et al. 2023, section 4.1).

    The slots share `seconds` equally; what comes later falls into the last, what comes before the start into the first.
    """
    slot = np.clip(traces.time * (slots / seconds), 0, slots - 1).astype(np.int64)
    level = slot + np.where(traces.size >= 0, 0, slots)
    return _counted(traces.owner, level, len(traces), 2 * slots).reshape(-1, 2, slots)


def packet_sizes(traces: Traces, columns: int) -> NDArray[np.float32]:
    """(n, columns): the signed sizes of the first packets, filled up with zeros."""
    return segments.padded(traces.size, traces.offset, columns)


def burst_sizes(traces: Traces, columns: int = 150) -> NDArray[np.float32]:
    """(n, columns): the signed bytes of the first bursts, filled up with zeros."""
    bursts = Bursts.of(traces)
    return segments.padded(bursts.size, bursts.offset, columns)


def sorted_bursts(traces: Traces, columns: int = 50) -> NDArray[np.float32]:
    """(n, columns): the bytes of the largest incoming bursts, the largest first, filled up with zeros."""
    bursts = Bursts.of(traces)
    incoming = bursts.size < 0
    offset = segments.kept(incoming, bursts.offset)
    # The sizes are negative, so that the ascending order puts the largest burst first.
    return -segments.padded(segments.ordered(bursts.size[incoming], offset), offset, columns)


def _running(values: NDArray) -> NDArray[np.int64]:
    """(P + 1,): the sum of everything before each packet, over all captures."""
    return np.concatenate([[0], np.cumsum(values, dtype=np.int64)])


def _per_capture(values: NDArray, offset: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(_running(values)[offset])


def _sampled(x: NDArray, y: NDArray, offset: NDArray[np.int64], points: int) -> NDArray[np.float32]:
    """(n, points): y at equidistant points of x, both counted from the start of each capture."""
    start, end = x[offset[:-1], None], x[offset[1:], None]
    places = start + (end - start) * (np.arange(1, points + 1) / points)
    return (np.interp(places, x, y) - y[offset[:-1], None]).astype(np.float32)


def _counted(rows: NDArray[np.int64], columns: NDArray, height: int, width: int) -> NDArray[np.float32]:
    counts = np.bincount(rows * width + columns, minlength=height * width)
    return counts.reshape(height, width).astype(np.float32)
