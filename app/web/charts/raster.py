"""Heatmaps and images: PNG files made with Pillow, shown through data URIs."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from app.tracks.base import Figure
from app.web.charts import marks as m
from app.web.charts.scales import number

_VIRIDIS = np.array(
    [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
     [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]], dtype=float,
)  # fmt: skip
"""(9, 3) evenly spaced colours of viridis (van der Walt and Smith, 2015), ordered by lightness."""
_MISSING = 128
"""The grey of a value that is not there."""
_CELLS = 400
"""The largest heatmap whose table is still written out; of a larger one the strongest cells are listed."""
_STRONGEST = 20


def heatmap_png(values: np.ndarray) -> bytes:
    """The PNG of (H, W) values in [0, 1], one pixel per value, from dark violet (0) to yellow (1); NaN is grey."""
    grid = np.asarray(values, dtype=float)
    known = np.clip(np.nan_to_num(grid), 0, 1) * (len(_VIRIDIS) - 1)
    stops = np.arange(len(_VIRIDIS))
    pixels = np.stack([np.interp(known, stops, _VIRIDIS[:, channel]) for channel in range(3)], axis=-1)
    pixels[~np.isfinite(grid)] = _MISSING
    return _png(pixels)


def image_png(values: np.ndarray) -> bytes:
    """The PNG of a grey (H, W) or colour (H, W, 3) image with values in [0, 1]."""
    return _png(np.clip(np.nan_to_num(np.asarray(values, dtype=float)), 0, 1) * 255)


def _png(pixels: np.ndarray) -> bytes:
    """The file of (H, W) or (H, W, 3) values from 0 to 255; small pictures get larger pixels, for viewers that blur."""
    pixels = pixels.round().astype(np.uint8)
    factor = max(1, 128 // max(pixels.shape[:2]))
    file = BytesIO()
    Image.fromarray(pixels.repeat(factor, axis=0).repeat(factor, axis=1)).save(file, "PNG", optimize=True)
    return file.getvalue()


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def images(figure: Figure) -> m.Drawing:
    """The drawing of a figure of kind "images": a grid, a caption under each."""
    captions = [str(caption) for caption in figure.arrays["captions"]]
    files = [_uri(image_png(np.array(image, dtype=float))) for image in figure.arrays["images"]]
    pictures = tuple(m.Picture(src, caption) for src, caption in zip(files, captions, strict=True))
    return m.Drawing(figure.title, f"{len(pictures)} images.", pictures=pictures, note=figure.note)


def heatmap(figure: Figure) -> m.Drawing:
    """The drawing of a figure of kind "heatmap"."""
    values = np.array(figure.arrays["values"], dtype=float)
    rows, columns = ([str(name) for name in figure.arrays[key]] for key in ("rows", "columns"))
    src, scale = _uri(heatmap_png(values)), _uri(heatmap_png(np.linspace(0, 1, 64)[None, :]))
    panels = tuple(
        (css, _panel(figure, (rows, columns), src, scale, width))
        for css, width in (("narrow", m.NARROW), ("wide", m.WIDE))
    )
    description = (
        f"Heatmap of {len(rows)} rows ({figure.y}) and {len(columns)} columns ({figure.x}) with values from 0 to 1."
    )
    return m.Drawing(figure.title, description, panels, table=_table(figure, values, rows, columns), note=figure.note)


def _panel(figure: Figure, names: tuple[list[str], list[str]], src: str, scale: str, width: float) -> m.Panel:
    rows, columns = names
    left = min(max((m.text_width(name) for name in rows), default=0), 0.22 * width) + m.FONT + 16
    # The cells are as square as the room allows, and a large grid is not taller than a screen.
    cell = min((width - left - 16) / len(columns), 460 / len(rows), 44)
    across, down = cell * len(columns), cell * len(rows)
    below = down + 2 * m.FONT + 20
    marks: list[m.Mark] = [m.Image(left, 4, across, down, src), m.Rect(left, 4, across, down, "frame")]
    marks += _names(rows, columns, left, cell, down)
    marks.append(m.Text(left + across / 2, below, figure.x, "axis-title", "middle"))
    marks.append(m.Text(m.FONT, 4 + down / 2, figure.y, "axis-title", "middle", turned=True))
    marks += [m.Text(left, below + 29, "0", "tick"), m.Image(left + 14, below + 20, 120, 10, scale)]
    marks.append(m.Text(left + 140, below + 29, "1", "tick"))
    return m.Panel(width, below + 36, tuple(marks))


def _names(rows: list[str], columns: list[str], left: float, cell: float, down: float) -> list[m.Mark]:
    """Tick labels, as many as fit."""
    marks: list[m.Mark] = []
    stride = _stride(1.3 * m.FONT / cell)
    for index in range(0, len(rows), stride):
        middle = 4 + (index + 0.5) * cell
        name = m.shorten(rows[index], left - m.FONT - 14)
        marks += [
            m.Line(left - 3, middle, left, middle, "axis"),
            m.Text(left - 6, middle + 0.35 * m.FONT, name, "tick", "end"),
        ]
    stride = _stride((max((m.text_width(name) for name in columns), default=0) + 8) / cell)
    for index in range(0, len(columns), stride):
        middle = left + (index + 0.5) * cell
        place = down + m.FONT + 10
        marks += [
            m.Line(middle, down + 4, middle, down + 7, "axis"),
            m.Text(middle, place, columns[index], "tick", "middle"),
        ]
    return marks


def _stride(least: float) -> int:
    """The round stride (1, 2, 5, 10, ...) that is not below `least`."""
    steps = (step * ten for ten in (1, 10, 100, 1000, 10_000, 100_000) for step in (1, 2, 5))
    return next(step for step in steps if step >= least)


def _table(figure: Figure, values: np.ndarray, rows: list[str], columns: list[str]) -> m.Table:
    if values.size <= _CELLS:
        cells = tuple((name, *map(number, line)) for name, line in zip(rows, values.tolist(), strict=True))
        return m.Table((f"{figure.y} \\ {figure.x}", *columns), cells)
    # A confusion matrix is read for its mistakes: the diagonal of a square one is left out.
    square = rows == columns
    rest = np.where(np.eye(len(rows), len(columns), dtype=np.bool_), -np.inf, values) if square else values
    order = np.argsort(-np.nan_to_num(rest, nan=-np.inf), axis=None, kind="stable")[:_STRONGEST]
    places = zip(*np.unravel_index(order, values.shape), strict=True)
    cells = tuple((rows[row], columns[column], number(float(values[row, column]))) for row, column in places)
    note = f"The {_STRONGEST} largest of {values.size:,} values{' off the diagonal' if square else ''}."
    return m.Table((figure.y or "Row", figure.x or "Column", "Value"), cells, note)
