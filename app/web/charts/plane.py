"""The plane of a track: privacy to the right, utility upwards, every team a point with its intervals."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from app.web.charts.axes import frame, left_margin
from app.web.charts.labels import Box, place_labels
from app.web.charts.marks import (
    NARROW,
    WIDE,
    Drawing,
    Key,
    Line,
    Mark,
    Panel,
    Path,
    Table,
    Text,
    polyline,
    shape,
    text_width,
)
from app.web.charts.scales import Scale, number, unit

_TEAM, _MINE, _HOUSE = "dot s0", "dot s1", "dot s7 hollow"


@dataclass(frozen=True)
class Point:
    """A defence: privacy (x = 1 - leakage) and utility (y), with 95 % intervals where they are known."""

    label: str
    x: float
    y: float
    x_low: float | None = None
    x_high: float | None = None
    y_low: float | None = None
    y_high: float | None = None
    mine: bool = False
    """Whether it is the reader's own team's."""


def plane(
    points: Sequence[Point],
    front: Sequence[tuple[float, float]] = (),
    baselines: Sequence[Point] = (),
    title: str = "Privacy and utility",
    note: str = "",
) -> Drawing:
    """The plane of all teams.

    `front` holds (privacy, utility) of the Pareto front, `baselines` the house's defences.
    """
    panels = tuple(
        (css, _panel(points, front, baselines, width)) for css, width in (("narrow", NARROW), ("wide", WIDE))
    )
    legend = [Key("Team", dot=_TEAM)]
    legend += [Key("Your team", dot=_MINE, shape=3)] if any(point.mine for point in points) else []
    legend += [Key("House baseline", dot=_HOUSE, shape=1)] if baselines else []
    legend += [Key("Pareto front: nobody is better on both", line="front")] if front else []
    return Drawing(title, _describe(points, baselines), panels, tuple(legend), _table(points, baselines), note=note)


def _describe(points: Sequence[Point], baselines: Sequence[Point]) -> str:
    count = f"{len(points)} teams and {len(baselines)} house baselines"
    text = f"Scatter chart of {count}: privacy across, utility up, both from 0 to 1."
    if not points:
        return text
    private, useful = max(points, key=lambda point: point.x), max(points, key=lambda point: point.y)
    return (
        f"{text} Most private: {private.label} ({number(private.x)}). Most useful: {useful.label} ({number(useful.y)})."
    )


def _table(points: Sequence[Point], baselines: Sequence[Point]) -> Table:
    def interval(value: float, low: float | None, high: float | None) -> str:
        return number(value, 3) + (f" ({number(low, 3)} to {number(high, 3)})" if low is not None else "")

    rows = [
        (point.label, kind, interval(point.x, point.x_low, point.x_high), interval(point.y, point.y_low, point.y_high))
        for kind, group in (("team", points), ("house", baselines))
        for point in group
    ]
    return Table(("Name", "Kind", "Privacy", "Utility"), tuple(rows))


def _panel(
    points: Sequence[Point], front: Sequence[tuple[float, float]], baselines: Sequence[Point], width: float
) -> Panel:
    height = 360.0 if width < WIDE else 480.0
    y = unit(height - 54, 12)
    x = unit(left_margin(y.ticks), width - 20)
    marks = frame(x, y, "Privacy (1 − leakage)", "Utility")
    stairs = [(x(a), y(b)) for a, b in _stairs(front)]
    if stairs:
        marks.append(Path(polyline(stairs), "front"))
    styled = [(point, _HOUSE, 1) for point in baselines]
    styled += [(point, _MINE, 3) if point.mine else (point, _TEAM, 0) for point in points]
    for point, css, _ in styled:
        marks += _whiskers(point, x, y, css.split()[1])
    for point, css, kind in styled:
        marks.append(
            Path(shape(kind, x(point.x), y(point.y), 5), css, f"{point.label}: {number(point.x)}; {number(point.y)}")
        )
    steps = [
        (min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1) for (a, b), (c, d) in itertools.pairwise(stairs)
    ]
    marks += _labels([point for point, _, _ in reversed(styled)], x, y, steps)
    return Panel(width, height, tuple(marks))


def _stairs(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of the border of what the front dominates, from the left axis down to the lower one."""
    ordered = sorted(front)
    if not ordered:
        return []
    corners = [(0.0, ordered[0][1])]
    for index, (privacy, utility) in enumerate(ordered):
        corners.append((privacy, utility))
        corners.append((privacy, ordered[index + 1][1] if index + 1 < len(ordered) else 0.0))
    return corners


def _whiskers(point: Point, x: Scale, y: Scale, css: str) -> list[Mark]:
    marks: list[Mark] = []
    if point.x_low is not None and point.x_high is not None:
        marks.append(Line(x(point.x_low), y(point.y), x(point.x_high), y(point.y), f"whisker {css}"))
    if point.y_low is not None and point.y_high is not None:
        marks.append(Line(x(point.x), y(point.y_low), x(point.x), y(point.y_high), f"whisker {css}"))
    return marks


def _labels(points: Sequence[Point], x: Scale, y: Scale, steps: list[Box]) -> list[Mark]:
    """Names beside the points, each where it covers least; the reader's own team is placed first."""
    names = sorted(points, key=lambda point: not point.mine)
    places = place_labels(
        [(x(point.x), y(point.y)) for point in names],
        [text_width(point.label) for point in names],
        obstacles=steps + [box for point in points for box in _obstacles(point, x, y)],
        field=(x.start + 2, y.end - 10, x.end + 18, y.start - 2),
    )
    marks: list[Mark] = []
    for point, place in zip(names, places, strict=True):
        if place.leader:
            marks.append(Line(*place.leader, "leader"))
        marks.append(Text(*place.middle, point.label, "strong halo" if point.mine else "halo", "middle"))
    return marks


def _obstacles(point: Point, x: Scale, y: Scale) -> list[Box]:
    """The marker and the whiskers of a point, as boxes that no name should cover."""
    here = (x(point.x), y(point.y))
    boxes = [(here[0] - 7, here[1] - 7, here[0] + 7, here[1] + 7)]
    if point.x_low is not None and point.x_high is not None:
        boxes.append((x(point.x_low), here[1] - 1, x(point.x_high), here[1] + 1))
    if point.y_low is not None and point.y_high is not None:
        boxes.append((here[0] - 1, y(point.y_high), here[0] + 1, y(point.y_low)))
    return boxes
