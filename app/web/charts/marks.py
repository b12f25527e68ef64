"""What a drawing is made of: a few primitive marks in the coordinates of an SVG view box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

FONT = 12.0
"""Height of the charts' text in view box units; a panel is shown at about one unit per pixel."""
PALETTE = 8
"""Number of series colours in srs.css (classes s0 to s7)."""
NARROW, WIDE = 360.0, 760.0
"""Widths of the two panels of a drawing: one for phones and columns, one for a whole page."""


def text_width(text: str) -> float:
    """About how wide a text is, in view box units."""
    return 0.6 * FONT * len(text)


def shorten(text: str, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than `width` units."""
    if text_width(text) <= width:
        return text
    return text[: max(int(width / (0.6 * FONT)) - 1, 1)].rstrip() + "…"


@dataclass(frozen=True)
class Line:
    """A straight line."""

    tag: ClassVar[str] = "line"
    x1: float
    y1: float
    x2: float
    y2: float
    css: str


@dataclass(frozen=True)
class Rect:
    """A rectangle; `title` is shown when the pointer rests on it."""

    tag: ClassVar[str] = "rect"
    x: float
    y: float
    width: float
    height: float
    css: str
    title: str = ""


@dataclass(frozen=True)
class Path:
    """A path in SVG's own notation."""

    tag: ClassVar[str] = "path"
    d: str
    css: str
    title: str = ""


@dataclass(frozen=True)
class Text:
    """One line of text; `turned` reads upwards."""

    tag: ClassVar[str] = "text"
    x: float
    y: float
    text: str
    css: str = ""
    anchor: str = "start"
    turned: bool = False


@dataclass(frozen=True)
class Image:
    """A picture stretched over a rectangle, its pixels kept sharp."""

    tag: ClassVar[str] = "image"
    x: float
    y: float
    width: float
    height: float
    src: str


Mark = Line | Rect | Path | Text | Image


@dataclass(frozen=True)
class Panel:
    """One size of a drawing."""

    width: float
    height: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a name and how its marks look."""

    name: str
    line: str = ""
    """CSS classes of the line, or none."""
    dot: str = ""
    """CSS classes of the marker, or none."""
    shape: int = 0

    @property
    def path(self) -> str:
        """The marker in the middle of the legend's swatch (32 by 14 units)."""
        return shape(self.shape, 16, 7)


@dataclass(frozen=True)
class Table:
    """The numbers of a drawing, for who reads rather than looks."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """One image of a grid, as a data URI."""

    src: str
    caption: str


@dataclass(frozen=True)
class Drawing:
    """A figure that is ready to be drawn: the same picture for narrow and for wide places."""

    title: str
    description: str
    panels: tuple[tuple[str, Panel], ...] = ()
    """CSS class ("narrow", "wide") and panel."""
    legend: tuple[Key, ...] = ()
    table: Table | None = None
    pictures: tuple[Picture, ...] = ()
    note: str = ""


_SHAPES: tuple[str, ...] = (
    "m-{r} 0a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z",
    "m-{r} -{r}h{d}v{d}h-{d}z",
    "m0 -{t}l{t} {u}h-{v}z",
    "m0 -{t}l{t} {t}l-{t} {t}l-{t} -{t}z",
)


def shape(kind: int, x: float, y: float, radius: float = 4.5) -> str:
    """The path of a marker around (x, y): circle, square, triangle or diamond, in turn."""
    big = radius * 1.25
    body = _SHAPES[kind % len(_SHAPES)].format(
        r=round(radius, 2), d=round(2 * radius, 2), t=round(big, 2), u=round(1.8 * big, 2), v=round(2 * big, 2)
    )
    return f"M{x:.1f} {y:.1f}{body}"


def colour(series: int) -> str:
    """The CSS class of a series' colour and dashes."""
    return f"s{series % PALETTE}"


def polyline(points: Sequence[tuple[float, float] | None]) -> str:
    """The path through the points; None breaks it."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "L"
    return "".join(parts)
