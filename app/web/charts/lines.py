"""Lines: several series over a common axis, and scores over the steps of a competition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.tracks.base import Figure
from app.web.charts.axes import frame, left_margin
from app.web.charts.marks import (
    NARROW,
    WIDE,
    Drawing,
    Key,
    Mark,
    Panel,
    Path,
    Table,
    colour,
    polyline,
    shape,
    text_width,
)
from app.web.charts.scales import Scale, linear, logarithmic, number, present, unit

_FEW = 25
"""So many points of a series are still marked one by one."""
_ROWS = 200
"""The longest table that is still written out."""

Number = float | None


@dataclass(frozen=True)
class _Series:
    name: str
    x: Sequence[Number]
    y: Sequence[Number]


def lines(figure: Figure) -> Drawing:
    """The drawing of a figure of kind "lines"; `x` is one list for all series or one list per series."""
    arrays = figure.arrays
    names = [str(name) for name in arrays["series"]]
    shared = not arrays["x"] or not isinstance(arrays["x"][0], list | tuple)
    xs = [arrays["x"]] * len(names) if shared else arrays["x"]
    series = [_Series(*row) for row in zip(names, xs, arrays["y"], strict=True)]
    logs = bool(arrays.get("log_x")), bool(arrays.get("log_y"))
    panels = tuple((css, _panel(series, figure, width, logs)) for css, width in (("narrow", NARROW), ("wide", WIDE)))
    return Drawing(
        figure.title, _describe(figure, series), panels, _legend(names), _table(figure, series), note=figure.note
    )


def history(
    series: Mapping[str, Sequence[Number]], steps: Sequence[str], title: str = "Score over time", y: str = "Score"
) -> Drawing:
    """Scores in [0, 1] over named steps (rounds, days): one value per step and series, None where there is none."""
    rows = [_Series(name, list(range(len(steps))), values) for name, values in series.items()]
    figure = Figure("lines", title, "", y, {})
    panels = tuple((css, _steps(rows, steps, figure, width)) for css, width in (("narrow", NARROW), ("wide", WIDE)))
    cells = tuple((step, *(number(row.y[index]) for row in rows)) for index, step in enumerate(steps))
    table = Table(("Step", *series), cells)
    return Drawing(title, _describe(figure, rows), panels, _legend(list(series)), table)


def _panel(series: list[_Series], figure: Figure, width: float, logs: tuple[bool, bool]) -> Panel:
    height = 280.0 if width < WIDE else 380.0
    y_scale = logarithmic if logs[1] else linear
    y = y_scale((value for row in series for value in row.y), height - 54, 10, 5)
    x_scale = logarithmic if logs[0] else linear
    x = x_scale(
        (value for row in series for value in row.x), left_margin(y.ticks), width - 16, 4 if width < WIDE else 8
    )
    return Panel(width, height, (*frame(x, y, figure.x, figure.y), *_draw(series, x, y)))


def _steps(series: list[_Series], steps: Sequence[str], figure: Figure, width: float) -> Panel:
    height = 230.0 if width < WIDE else 300.0
    y = unit(height - 30, 10)
    room = max((text_width(step) for step in steps), default=0)
    margin = left_margin(y.ticks)
    last = max(len(steps) - 1, 1)
    x = Scale(0, last, margin + 10, width - max(16, room / 2), ())
    stride = max(1, -(-len(steps) * (room + 12) // (x.end - x.start)))
    names = {float(index): step for index, step in enumerate(steps) if index % stride == 0}
    return Panel(width, height, (*frame(x, y, figure.x, figure.y, names), *_draw(series, x, y)))


def _draw(series: list[_Series], x: Scale, y: Scale) -> list[Mark]:
    marks: list[Mark] = []
    for index, row in enumerate(series):
        pairs = list(zip(row.x, row.y, strict=True))
        places = [(x(a), y(b)) if x.shows(a) and y.shows(b) else None for a, b in pairs]  # type: ignore[arg-type]
        marks.append(Path(polyline(places), f"line {colour(index)}", row.name))
        if len(pairs) <= _FEW:
            marks += [
                Path(shape(index, *place, 3.5), f"dot {colour(index)}", f"{row.name}: {number(a)}; {number(b)}")
                for place, (a, b) in zip(places, pairs, strict=True)
                if place
            ]
    return marks


def _legend(names: list[str]) -> tuple[Key, ...]:
    css = [colour(index) for index in range(len(names))]
    return tuple(
        Key(name, f"line {c}", f"dot {c}", index) for index, (name, c) in enumerate(zip(names, css, strict=True))
    )


def _describe(figure: Figure, series: list[_Series]) -> str:
    parts = []
    for row in series:
        known = present(row.y)
        parts.append(
            f"{row.name} from {number(known[0])} to {number(known[-1])}" if known else f"{row.name} without values"
        )
    over = f" over {figure.x}" if figure.x else ""
    return f"Line chart of {figure.y}{over}: " + "; ".join(parts) + "."


def _table(figure: Figure, series: list[_Series]) -> Table:
    """One row per point; long series are thinned evenly."""
    cells = [(row.name, number(a), number(b)) for row in series for a, b in zip(row.x, row.y, strict=True)]
    stride = max(1, -(-len(cells) // _ROWS))
    note = f"Every {stride}th of {len(cells):,} points." if stride > 1 else ""
    return Table(("Series", figure.x or "x", figure.y or "y"), tuple(cells[::stride]), note)
