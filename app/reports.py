"""What games and experiments report: measured numbers, pictures as data, tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A measured number with its 95 % interval; the bounds are None where an interval has no meaning."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Figure:
    """A picture as data: what to draw, not how.

    `kind` names how `arrays` (lists of numbers or of texts, ready for JSON) are read:

    - "bars": labels (what x names), values (what y names), and optionally low, high
    - "lines": x, y (one list per series), series; optionally log_x, log_y (bool)
    - "heatmap": values (rows of numbers in [0, 1]), rows, columns
    - "images": images (rows of rows of numbers in [0, 1]), captions
    """

    kind: str
    title: str
    x: str
    y: str
    arrays: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of numbers and texts under named columns, at full precision."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Metric:
    """How a metric is named and read on a page."""

    name: str
    title: str
    help: str
    unit: str = ""
    """"%" shows the value as a percentage."""
    higher_is_better: bool = True
    """For the one whose metric this is: the defender for utility, the attacker for leakage."""
    decimals: int = 3
