"""Rounds: setting up, editing, phases, the board."""

from collections.abc import Mapping
from typing import Any

from flask import url_for

from app.api import parameters
from app.api.admin import resource
from app.api.auth import me
from app.api.rounds import full
from app.api.schemas.admin import CountSchema, KindSchema
from app.api.schemas.rounds import FreezeSchema, NewRoundSchema, PhaseChangeSchema, RoundDetailSchema, RoundEditSchema
from app.rules.phases import Phase
from app.services import datasets, rounds, uploads

blueprint = resource("rounds", "Setting rounds up, and moving them through their phases.")


@blueprint.route("/admin/rounds", methods=["POST"])
@blueprint.arguments(NewRoundSchema)
@blueprint.response(201, RoundDetailSchema, headers={"Location": {"schema": {"type": "string"}}})
def create(values: dict[str, Any]) -> Any:
    """Set up a round; it is closed until a phase opens. Settings: see the track."""
    track = values["track"]
    settings, rules = values.get("settings", {}), values.get("rules", {})
    _check(track, settings, rules)
    data = datasets.named(track, values.get("data"))
    row = rounds.create(me(), track, values.get("title", ""), settings, rules, values.get("seed"), data)
    return full(row), 201, {"Location": url_for("api.rounds.one", number=row.number)}


def _check(track: str, settings: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
    setting_fields, rule_fields = rounds.setting_fields(track)
    parameters.check({"settings": (setting_fields, settings), "rules": (rule_fields, rules)})


@blueprint.route("/admin/rounds/<id:number>", methods=["PATCH"])
@blueprint.arguments(RoundEditSchema)
@blueprint.response(200, RoundDetailSchema)
def edit(values: dict[str, Any], number: int) -> dict[str, Any]:
    """Change the title at any time, settings, rules and data until the round opens."""
    row = rounds.by_number(number)
    settings, rules = values.get("settings", {}), values.get("rules", {})
    _check(row.track, settings, rules)
    data = datasets.named(row.track, values["data"]) if "data" in values else row.data
    rounds.edit(me(), row, values.get("title", ""), {**row.track_settings, **settings}, {**row.rules, **rules}, data)
    return full(row)


@blueprint.route("/admin/rounds/<id:number>/current", methods=["POST"])
@blueprint.response(200, RoundDetailSchema)
def make_current(number: int) -> dict[str, Any]:
    """Make this the round that uploads go to."""
    row = rounds.by_number(number)
    rounds.make_current(me(), row)
    return full(row)


@blueprint.route("/admin/rounds/<id:number>/phases", methods=["POST"])
@blueprint.arguments(PhaseChangeSchema)
@blueprint.response(200, RoundDetailSchema)
def change_phase(values: dict[str, Any], number: int) -> dict[str, Any]:
    """Change the phase now, or at a moment."""
    row, target = rounds.by_number(number), Phase(values["phase"])
    if "at" in values:
        rounds.schedule(me(), row, target, values["at"])
    else:
        rounds.set_phase(me(), row, target)
    return full(row)


@blueprint.route("/admin/rounds/<id:number>/phases/<id:change_id>", methods=["DELETE"])
@blueprint.response(204)
def unschedule(number: int, change_id: int) -> None:
    """Take back a change that has not happened yet."""
    rounds.unschedule(me(), rounds.by_number(number), change_id)


@blueprint.route("/admin/rounds/<id:number>/board", methods=["PUT"])
@blueprint.arguments(FreezeSchema)
@blueprint.response(200, RoundDetailSchema)
def freeze_board(values: dict[str, Any], number: int) -> dict[str, Any]:
    """Freeze the leaderboard that students see, or let it run again."""
    row = rounds.by_number(number)
    rounds.freeze_board(me(), row, values["is_frozen"])
    return full(row)


@blueprint.route("/admin/rounds/<id:number>/reevaluations", methods=["POST"])
@blueprint.arguments(KindSchema)
@blueprint.response(202, CountSchema)
def reevaluate(values: dict[str, Any], number: int) -> dict[str, int]:
    """Evaluate every finished upload of one kind of a round again."""
    kind = uploads.kind_named(values["kind"])
    return {"count": uploads.reevaluate_all(me(), rounds.by_number(number), kind)}
