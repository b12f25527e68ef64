"""Figures as accessible inline SVG: geometry in plain numbers, drawn by `macros/figures.html`.

`draw(figure)` turns a track's `Figure` into a `Drawing`; `plane` and `history` make the two pictures of the standings.
Nothing here knows of Flask.
"""

from collections.abc import Callable

from app.tracks.base import Figure
from app.web.charts.bars import bars
from app.web.charts.lines import history, lines
from app.web.charts.marks import Drawing
from app.web.charts.plane import Point, plane
from app.web.charts.raster import heatmap, heatmap_png, image_png, images

__all__ = ["Drawing", "Point", "draw", "heatmap_png", "history", "image_png", "plane"]

_KINDS: dict[str, Callable[[Figure], Drawing]] = {"bars": bars, "lines": lines, "heatmap": heatmap, "images": images}


def draw(figure: Figure) -> Drawing:
    """The drawing of a figure. Raises ValueError for a kind that no one knows."""
    if figure.kind not in _KINDS:
        raise ValueError(f"unknown kind of figure: {figure.kind}")
    return _KINDS[figure.kind](figure)
