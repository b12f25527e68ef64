"""Stored reports as tables for readers, and as files at full precision."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from app.models import Asset, Job

SHOWN, UNFOLDED = 200, 20
"""The most rows of a table on a page (its file has them all), and of one that is not folded away."""


@dataclass(frozen=True)
class Cell:
    """A value and how it reads."""

    text: str
    value: Any

    @property
    def is_number(self) -> bool:
        """Whether it sorts by size."""
        return isinstance(self.value, int | float) and not isinstance(self.value, bool)


def cell(value: Any) -> Cell:
    """A number in six significant digits, a truth value in words, a text as it is."""
    if value is None:
        return Cell("—", "")
    if isinstance(value, bool):
        return Cell("yes" if value else "no", value)
    if isinstance(value, int):
        return Cell(f"{value:,}", value)
    return Cell(f"{value:.6g}" if isinstance(value, float) else str(value), value)


@dataclass(frozen=True)
class Grid:
    """A table of a stored report."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it is folded away at first."""
        return len(self.rows) > UNFOLDED

    @property
    def head(self) -> list[tuple[str, str]]:
        """Titles with how their column sorts."""
        return [(title, self._kind(place)) for place, title in enumerate(self.columns)]

    def _kind(self, place: int) -> str:
        cells = [cell(row[place]) for row in self.rows]
        return "number" if cells and all(each.is_number or each.value == "" for each in cells) else "text"

    @property
    def shown(self) -> list[list[Cell]]:
        """The first rows."""
        return [[cell(value) for value in row] for row in self.rows[:SHOWN]]


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under their columns; numbers keep every digit."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def rows_of_figure(figure: Mapping[str, Any]) -> list[list[Any]]:
    """The numbers behind a picture, the names of the columns first; empty for images."""
    kind, arrays = figure["kind"], figure["arrays"]
    readers = {"bars": _bars, "lines": _lines, "heatmap": _heatmap}
    return list(readers[kind](figure, arrays)) if kind in readers else []


def _bars(figure: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[list[Any]]:
    bounds = [name for name in ("low", "high") if arrays.get(name)]
    yield [figure["x"] or "label", figure["y"] or "value", *bounds]
    columns = (arrays["labels"], arrays["values"], *(arrays[name] for name in bounds))
    yield from (list(row) for row in zip(*columns, strict=True))


def _lines(figure: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[list[Any]]:
    yield ["series", figure["x"] or "x", figure["y"] or "y"]
    x = arrays["x"]
    own = bool(x) and isinstance(x[0], list)
    for place, (name, values) in enumerate(zip(arrays["series"], arrays["y"], strict=True)):
        yield from ([name, a, b] for a, b in zip(x[place] if own else x, values, strict=True))


def _heatmap(figure: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[list[Any]]:
    yield [f"{figure['y']} \\ {figure['x']}", *arrays["columns"]]
    yield from ([name, *values] for name, values in zip(arrays["rows"], arrays["values"], strict=True))


def as_json(job: Job, inputs: Mapping[str, Asset]) -> str:
    """Everything that is known of a job; numbers that JSON has no word for become null."""
    moments = {name: getattr(job, name) for name in ("created_at", "started_at", "finished_at")}
    whole = {
        "job": job.key,
        "experiment": job.experiment,
        "parameters": job.parameters,
        "seed": job.seed,
        "inputs": {
            name: {"name": asset.name, "version": asset.version, "kind": asset.kind, "sha256": asset.digest}
            for name, asset in inputs.items()
        },
        **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
        "report": job.report,
    }
    return json.dumps(_finite(whole), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
