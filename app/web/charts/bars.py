"""Horizontal bars with whiskers: each label stands above its bar, so that it is readable on a phone."""

from collections.abc import Sequence
from typing import Any

from app.tracks.base import Figure
from app.web.charts.marks import FONT, NARROW, WIDE, Drawing, Line, Mark, Panel, Rect, Table, Text, shorten, text_width
from app.web.charts.scales import Scale, linear, number, present

_BAR = 14.0


def bars(figure: Figure) -> Drawing:
    """The drawing of a figure of kind "bars"."""
    arrays = figure.arrays
    labels = [str(label) for label in arrays["labels"]]
    values = list(arrays["values"])
    lows, highs = (list(arrays.get(name) or [None] * len(values)) for name in ("low", "high"))
    rows = list(zip(labels, values, lows, highs, strict=True))
    panels = (("narrow", _above(rows, figure.y, NARROW)), ("wide", _beside(rows, figure.y, WIDE)))
    return Drawing(
        figure.title, _describe(figure, labels, values), panels, table=_table(figure, rows), note=figure.note
    )


def _describe(figure: Figure, labels: list[str], values: list[Any]) -> str:
    known = [(value, label) for value, label in zip(values, labels, strict=True) if present([value])]
    if not known:
        return f"Bar chart of {figure.y}; nothing was measured."
    (most, top), (least, bottom) = max(known), min(known)
    return (
        f"Bar chart of {figure.y} for {len(labels)} {figure.x or 'entries'}: "
        f"from {number(least)} ({bottom}) to {number(most)} ({top})."
    )


def _table(figure: Figure, rows: Sequence[tuple[str, Any, Any, Any]]) -> Table:
    name, value = figure.x or "Name", figure.y or "Value"
    if not any(present([low]) for _, _, low, _ in rows):
        return Table((name, value), tuple((label, number(middle)) for label, middle, _, _ in rows))
    cells = tuple((label, number(middle), number(low), number(high)) for label, middle, low, high in rows)
    return Table((name, value, "Low (95 %)", "High (95 %)"), cells)


def _above(rows: Sequence[tuple[str, Any, Any, Any]], title: str, width: float) -> Panel:
    """Labels above the bars, for narrow places."""
    scale = _scale(rows, 10, width - 52, 4)
    height = 36.0 * len(rows)
    marks = _axis(scale, title, height)
    for index, row in enumerate(rows):
        top = 36.0 * index
        marks.append(Text(scale.start, top + FONT, shorten(row[0], width - 20)))
        marks += _bar(row, scale, top + FONT + 5)
    return Panel(width, height + 44, tuple(marks))


def _beside(rows: Sequence[tuple[str, Any, Any, Any]], title: str, width: float) -> Panel:
    """Labels to the left of the bars, for wide places."""
    gutter = min(max((text_width(row[0]) for row in rows), default=0) + 16, 0.38 * width)
    scale = _scale(rows, gutter, width - 60, 6)
    height = 26.0 * len(rows) + 6
    marks = _axis(scale, title, height)
    for index, row in enumerate(rows):
        top = 26.0 * index + 6
        marks.append(Text(gutter - 10, top + FONT - 1, shorten(row[0], gutter - 14), anchor="end"))
        marks += _bar(row, scale, top)
    return Panel(width, height + 44, tuple(marks))


def _scale(rows: Sequence[tuple[str, Any, Any, Any]], start: float, end: float, count: int) -> Scale:
    return linear((value for row in rows for value in row[1:]), start, end, count, zero=True)


def _axis(scale: Scale, title: str, height: float) -> list[Mark]:
    marks: list[Mark] = []
    for tick in scale.ticks:
        place = scale(tick)
        marks.append(Line(place, 0, place, height, "axis" if tick == 0 else "gridline"))
        marks.append(Text(place, height + FONT + 4, number(tick), "tick", "middle"))
    marks.append(Text((scale.start + scale.end) / 2, height + 2 * FONT + 14, title, "axis-title", "middle"))
    return marks


def _bar(row: tuple[str, Any, Any, Any], scale: Scale, top: float) -> list[Mark]:
    label, value, low, high = row
    middle = top + _BAR / 2
    if not present([value]):
        return [Text(scale(0) + 6, top + FONT - 1, "not measured", "tick")]
    left, right = sorted((scale(0), scale(value)))
    marks: list[Mark] = [Rect(left, top, max(right - left, 1), _BAR, "bar s0", f"{label}: {number(value)}")]
    end = right
    if len(present([low, high])) == 2:
        marks.append(Line(scale(low), middle, scale(high), middle, "bar-whisker"))
        marks += [Line(scale(end), middle - 4, scale(end), middle + 4, "bar-whisker") for end in (low, high)]
        end = max(end, scale(high))
    marks.append(Text(end + 6, top + FONT - 1, number(value, 3), "strong halo"))
    return marks
