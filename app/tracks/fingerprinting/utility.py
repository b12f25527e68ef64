"""What a protection of traces costs: bytes and time per capture, the fewer the better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from app.traces import Traces
from app.tracks.base import Bundle, Estimate, Figure, Score

CLASSIC_CEILING = 10.0
"""The classic score of the cheapest thinkable defence; the formula itself grows without bound near a product of 1."""
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Costs:
    """Bytes and seconds of every capture."""

    bytes_in: NDArray[np.float64]
    bytes_out: NDArray[np.float64]
    duration: NDArray[np.float64]

    @property
    def bytes(self) -> NDArray[np.float64]:
        """Bytes in both directions."""
        return self.bytes_in + self.bytes_out


def costs(traces: Traces) -> Costs:
    """Bytes to the client, bytes from the client, and seconds from the earliest to the latest packet, per capture."""
    filled = np.flatnonzero(traces.length)
    bytes_in, bytes_out, duration = np.zeros((3, len(traces)))
    if len(filled):
        # A sum over a range ends where the next one starts, so captures without packets are left out.
        start = traces.offset[:-1][filled]
        bytes_out[filled] = np.add.reduceat(np.maximum(traces.size, 0), start, dtype=np.int64)
        bytes_in[filled] = -np.add.reduceat(np.minimum(traces.size, 0), start, dtype=np.int64)
        # Packets may be re-ordered and clocks may start anywhere: neither the first nor the last packet is special.
        duration[filled] = np.maximum.reduceat(traces.time, start) - np.minimum.reduceat(traces.time, start)
    return Costs(bytes_in, bytes_out, duration)


def utility(traces: Traces, reference: Mapping[str, float] | None = None) -> Score:
    """The cost of every capture, and its value in [0, 1]: 1 = as cheap as undefended.

    With the `reference` of the round (the metric values of the undefended captures), the value is the geometric mean of
    min(1, its median bytes / ours) and min(1, its median seconds / ours). Without one, it is the classic score / 10.
    """
    cost = costs(traces)
    metrics: dict[str, Estimate] = {}
    for name, values in {"bytes_in": cost.bytes_in, "bytes_out": cost.bytes_out, "duration": cost.duration}.items():
        metrics |= _describe(name, values)
    metrics["median_bytes"] = median(cost.bytes)
    metrics["classic_score"] = _classic(metrics)
    value = metrics["classic_score"].value / CLASSIC_CEILING
    if reference is not None and {"median_bytes", "median_duration"} <= reference.keys():
        shares = relative(metrics, reference)
        metrics |= shares
        value = math.sqrt(shares["bandwidth_share"].value * shares["speed_share"].value)
    return Score(value=min(1.0, max(0.0, value)), metrics=metrics, figures=(_figure(cost),))


def _describe(name: str, values: NDArray[np.float64]) -> dict[str, Estimate]:
    if not len(values):
        return {f"{kind}_{name}": Estimate(0.0) for kind in ("max", "mean", "median")}
    mean = float(values.mean())
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return {
        f"max_{name}": Estimate(float(values.max())),
        f"mean_{name}": Estimate(mean, max(0.0, mean - half), mean + half),
        f"median_{name}": median(values),
    }


def median(values: NDArray[np.float64]) -> Estimate:
    """The median with its order-statistic interval: no assumption about how the values are distributed.

    The 95 % interval reaches from the value of rank n/2 - 0.98 sqrt(n) to that of rank n/2 + 0.98 sqrt(n) + 1.
    """
    n = len(values)
    if not n:
        return Estimate(0.0)
    half = Z * math.sqrt(n) / 2
    low, high = max(0, math.floor(n / 2 - half)), min(n - 1, math.ceil(n / 2 + half))
    ordered = np.partition(values, [low, high])
    return Estimate(float(np.median(values)), float(ordered[low]), float(ordered[high]))


def classic(median_in: float, median_out: float, median_duration: float) -> float:
    """The predecessor's utility 64 / log10(bytes in x bytes out x seconds), kept within [0, 10].

    Products of 1 and less, for which the formula is infinite or negative, count as the cheapest thinkable: 10.
    """
    product = abs(median_in * median_out * median_duration)
    if not product > 1.0:
        return CLASSIC_CEILING
    return min(CLASSIC_CEILING, 64.0 / math.log10(product)) if math.isfinite(product) else 0.0


def _classic(metrics: Mapping[str, Estimate]) -> Estimate:
    """The classic score; its interval is spanned by all three medians at their cheapest and at their dearest."""
    medians = [metrics[f"median_{name}"] for name in ("bytes_in", "bytes_out", "duration")]
    value = classic(*(each.value for each in medians))
    if any(each.low is None or each.high is None for each in medians):
        return Estimate(value)
    cheap = classic(*(each.low or 0.0 for each in medians))
    dear = classic(*(each.high or 0.0 for each in medians))
    return Estimate(value, dear, cheap)


def relative(metrics: Mapping[str, Estimate], reference: Mapping[str, float]) -> dict[str, Estimate]:
    """How much of the undefended cheapness is left: medians of the reference over ours, never more than 1."""
    return {
        "bandwidth_share": _share(metrics["median_bytes"], reference["median_bytes"]),
        "speed_share": _share(metrics["median_duration"], reference["median_duration"]),
    }


def _share(cost: Estimate, reference: float) -> Estimate:
    def share(value: float) -> float:
        # A capture that costs nothing cannot cost more than the reference.
        return min(1.0, max(0.0, reference) / value) if value > 0 else 1.0

    if cost.low is None or cost.high is None:
        return Estimate(share(cost.value))
    return Estimate(share(cost.value), share(cost.high), share(cost.low))


def _figure(cost: Costs) -> Figure:
    """The spread of costs over captures: every tenth percentile."""
    shares = list(range(0, 101, 10))
    series = {"bytes in": cost.bytes_in, "bytes out": cost.bytes_out}
    lines = [[float(v) for v in np.percentile(values, shares)] if len(values) else [] for values in series.values()]
    return Figure(
        kind="lines",
        title="Bytes per capture",
        x="Captures (%)",
        y="Bytes",
        arrays={"x": [shares] * len(lines), "y": lines, "series": list(series)},
        note="How many bytes the cheapest share of the captures needs at most.",
    )


def of_defence(defence: Bundle, reference: Mapping[str, float] | None = None) -> Score:
    """The utility of a defence bundle."""
    return utility(Traces.from_bundle(defence), reference)
