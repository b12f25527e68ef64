"""The games. Cards are listed here; a game is imported on first use, because games load heavy libraries."""

from collections.abc import Mapping
from typing import Any

from app.parameters import parse
from app.tracks import fingerprinting, gradient_leakage, membership, robustness
from app.tracks.base import Card, Data, Seat, Track

CARDS: tuple[Card, ...] = (fingerprinting.CARD, robustness.CARD, membership.CARD, gradient_leakage.CARD)
"""Every track, in the order in which pages list them."""


def card(slug: str) -> Card:
    """The card of a track. Raises KeyError for an unknown slug."""
    return {each.slug: each for each in CARDS}[slug]


def game(
    slug: str, settings: Mapping[str, Any] | None = None, seat: Seat | None = None, data: Data | None = None
) -> Track:
    """The game of a track with the settings of one round, the defaults where they are silent, seen from `seat`.

    Raises KeyError for an unknown slug and InvalidParameters for settings that break their bounds.
    """
    track = card(slug).load()
    return track(parse(track.Settings, settings or {}), seat, data)
