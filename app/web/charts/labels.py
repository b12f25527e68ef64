"""Where the names of points stand, so that they cover neither each other nor the points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.web.charts.marks import FONT

Box = tuple[float, float, float, float]
"""left, top, right, bottom"""

_RINGS = (9, 18, 30, 45, 62, 82)
_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
_NEAR = 16.0
"""A name that is further away than this is tied to its point by a line."""


@dataclass(frozen=True)
class Place:
    """Where one name stands: the middle of its baseline, and its leader (x1, y1, x2, y2) if it needs one."""

    middle: tuple[float, float]
    leader: Box | None


def place_labels(
    points: Sequence[tuple[float, float]], widths: Sequence[float], obstacles: Sequence[Box], field: Box
) -> list[Place]:
    """Place the names one after another, each where it covers least; earlier names choose first.

    `obstacles` are boxes that should stay free, `field` is the box that names should not leave.
    """
    taken = np.array(obstacles, dtype=float).reshape(-1, 4)
    places = []
    for point, width in zip(points, widths, strict=True):
        here = np.array(point)
        boxes = _candidates(here, width)
        ends = np.clip(here, boxes[:, :2], boxes[:, 2:])
        best = int(np.argmin(_costs(here, boxes, ends, taken, np.array(field))))
        taken = np.vstack([taken, boxes[best]])
        places.append(_place(here, boxes[best], ends[best]))
    return places


def _place(here: np.ndarray, box: np.ndarray, end: np.ndarray) -> Place:
    far = float(np.abs(end - here).sum()) > _NEAR
    leader = (float(here[0]), float(here[1]), float(end[0]), float(end[1])) if far else None
    return Place((float(box[0] + box[2]) / 2, float(box[3]) - 0.25 * FONT), leader)


def _candidates(here: np.ndarray, width: float) -> np.ndarray:
    """(P, 4) boxes around a point, in rings that grow."""
    sides = np.array([side for _ in _RINGS for side in _SIDES], dtype=float)
    gaps = np.repeat(np.array(_RINGS, dtype=float), len(_SIDES))[:, None]
    half = np.array([width / 2, 0.6 * FONT])
    middles = here + sides * (gaps + half)
    return np.hstack([middles - half, middles + half])


def _costs(here: np.ndarray, boxes: np.ndarray, ends: np.ndarray, taken: np.ndarray, field: np.ndarray) -> np.ndarray:
    """(P,) what each place costs: covered area above all, leaving the field, crossing things, and distance."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    covered = _overlaps(boxes, taken).sum(axis=1)
    outside = area - _overlaps(boxes, field[None])[:, 0]
    away = np.abs(ends - here).sum(axis=1)
    costs: np.ndarray = 10 * covered + 20 * outside + 40 * _crossings(here, ends, taken) + away
    return costs


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P, N) common areas."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    areas: np.ndarray = np.clip(high - low, 0, None).prod(axis=2)
    return areas


def _crossings(here: np.ndarray, ends: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(P,) how many of the boxes a line from the point to each place runs through, its own marker aside."""
    steps = np.linspace(0, 1, 9)[None, :, None]
    along = here + steps * (ends[:, None, :] - here)
    others = taken[~np.all((taken[:, :2] <= here) & (here <= taken[:, 2:]), axis=1)]
    inside = (along[:, :, None] >= others[:, :2]) & (along[:, :, None] <= others[:, 2:])
    counts: np.ndarray = inside.all(axis=3).any(axis=1).sum(axis=1)
    return counts
