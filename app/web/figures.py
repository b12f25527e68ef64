"""Stored figures as drawings."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.tracks.base import Figure
from app.web import charts


def drawings(stored: Iterable[Mapping[str, Any]]) -> list[charts.Drawing]:
    """The drawings of figures as the database keeps them."""
    return [charts.draw(Figure(**figure)) for figure in stored]
