"""Tracks: how a game is played, with its settings, metrics and adversaries."""

import dataclasses
from typing import Any

from app import tracks
from app.api import parameters
from app.api.blueprint import Access, Resource
from app.api.schemas.tracks import TrackDetailSchema, TrackSchema
from app.errors import NotFound
from app.services import references, rounds
from app.tracks.base import Card

blueprint = Resource("tracks", "tracks", "The games that rounds play.", Access.PUBLIC)


@blueprint.route("/tracks")
@blueprint.response(200, TrackSchema(many=True))
def everyone() -> list[Card]:
    """All tracks."""
    return list(tracks.CARDS)


@blueprint.route("/tracks/<string(maxlength=32):slug>")
@blueprint.response(200, TrackDetailSchema)
def one(slug: str) -> dict[str, Any]:
    """One track, with what a form and a program need to know."""
    card = named(slug)
    settings, rules = rounds.setting_fields(slug)
    names = sorted(field.name for field in dataclasses.fields(card) if field.name != "game")
    adversaries = references.cards(slug).items()
    return {name: getattr(card, name) for name in names} | {
        "settings": [parameters.row(parameter) for parameter in settings],
        "rules": [parameters.row(parameter) for parameter in rules],
        "adversaries": [{"slug": name, **vars(adversary)} for name, adversary in adversaries],
    }


def named(slug: str) -> Card:
    """The card of a track."""
    for card in tracks.CARDS:
        if card.slug == slug:
            return card
    raise NotFound("There is no such track.")
