"""Which measured numbers stand in a table: the leakage once, whatever the track calls it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.tracks.base import Metric

Measured = tuple[float | None, Mapping[str, Mapping[str, Any]]]
"""A leakage, and the track's own metrics as the database keeps them."""
ALMOST = 1e-6
"""Up to this, two numbers are the same."""


def beside_leakage(metrics: Sequence[Metric], measured: Iterable[Measured]) -> tuple[Metric | None, list[Metric]]:
    """The metric that is the leakage itself under the track's own name, if there is one, and the other metrics."""
    known = [(leakage, values) for leakage, values in measured if leakage is not None]
    headline = next((metric for metric in metrics if known and _is_leakage(metric.name, known)), None)
    return headline, [metric for metric in metrics if metric is not headline]


def _is_leakage(name: str, known: Sequence[tuple[float, Mapping[str, Mapping[str, Any]]]]) -> bool:
    # Nothing and everything are 0 and 1 by many measures.
    return any(ALMOST < leakage < 1 - ALMOST for leakage, _ in known) and all(
        name in values and math.isclose(values[name]["value"], leakage, rel_tol=ALMOST, abs_tol=ALMOST)
        for leakage, values in known
    )
