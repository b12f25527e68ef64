"""Rounds: the list, one of them, its phase and its timetable."""

from dataclasses import asdict
from typing import Any

from app.api import auth
from app.api.blueprint import Access, Resource
from app.api.schemas.rounds import RoundDetailSchema, RoundSchema
from app.models import Round
from app.services import rounds

blueprint = Resource("rounds", "rounds", "Rounds, their settings and phases.", Access.PUBLIC)


@blueprint.route("/rounds")
@blueprint.response(200, RoundSchema(many=True))
def everyone() -> list[dict[str, Any]]:
    """All rounds, newest first."""
    return [short(row) for row in rounds.everyone()]


@blueprint.route("/rounds/current")
@blueprint.response(200, RoundDetailSchema)
def current() -> dict[str, Any]:
    """The round that uploads go to."""
    return full(rounds.by_number(None))


@blueprint.route("/rounds/<id:number>")
@blueprint.response(200, RoundDetailSchema)
def one(number: int) -> dict[str, Any]:
    """One round."""
    return full(rounds.by_number(number))


def short(row: Round) -> dict[str, Any]:
    """A round in a list."""
    table = rounds.phase(row)
    phase = {
        **asdict(table),
        "name": table.phase,
        "label": table.phase.label,
        "defence_open": table.phase.defence_open,
        "attack_open": table.phase.attack_open,
    }
    about = {name: getattr(row, name) for name in ("number", "title", "track", "is_current")}
    return {**about, "phase": phase}


def full(row: Round) -> dict[str, Any]:
    """A round with everything; the seed is for admins, because hidden splits follow from it."""
    shown = ("rules", "opened_at", "matched_at", "board_frozen_at")
    is_admin = auth.caller().person is not None and auth.sees_all()
    return {
        **short(row),
        **{name: getattr(row, name) for name in shown},
        "settings": row.track_settings,
        "data": row.data,
        "is_frozen": rounds.is_open(row),
        "timetable": row.changes,
        "seed": row.seed if is_admin else None,
    }
