"""Matches and the house of a round."""

from hashlib import sha256
from typing import Any

from app import tracks
from app.api.admin import resource
from app.api.auth import me
from app.api.files import checked
from app.api.matches import shown
from app.api.schemas.admin import GenerateSchema, HouseSchema, HouseStateSchema, PlanSchema
from app.api.schemas.uploads import AdminUploadSchema, FileSchema, MatchSchema
from app.api.uploads import shown as shown_upload
from app.errors import Conflict
from app.models import Round
from app.services import house, matches, rounds

blueprint = resource("matches", "Drawing the matches, and what the house plays.")


@blueprint.route("/admin/rounds/<id:number>/matches")
@blueprint.response(200, MatchSchema(many=True))
def everyone(number: int) -> list[dict[str, Any]]:
    """All matches of a round."""
    return shown(matches.of_round(rounds.by_number(number)))


@blueprint.route("/admin/rounds/<id:number>/matches/preview")
@blueprint.response(200, PlanSchema)
def preview(number: int) -> dict[str, Any]:
    """What generating would do now."""
    plan = matches.preview(rounds.by_number(number))
    pairs = [
        {"attacker": attacker, "defender": defender, "defence": defence.upload_id}
        for attacker, defender, defence in plan.pairs
    ]
    stand_ins = [{"team": team, "house": stand_in} for team, stand_in in plan.stand_ins]
    return {"mark": _mark(plan), "pairs": pairs, "skipped": plan.skipped, "stand_ins": stand_ins}


def _mark(plan: matches.Plan) -> str:
    pairs = [(attacker.id, defender.id, defence.id) for attacker, defender, defence in plan.pairs]
    return sha256(repr((pairs, [team.id for team in plan.skipped])).encode()).hexdigest()[:16]


@blueprint.route("/admin/rounds/<id:number>/matches", methods=["POST"])
@blueprint.arguments(GenerateSchema)
@blueprint.response(201, MatchSchema(many=True))
def generate(values: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Make all matches of a round or none, and tell every team its opponents; a second time is a conflict."""
    row = rounds.by_number(number)
    _refuse_other_plan(row, values.get("mark"))
    return shown(matches.generate(me(), row))


def _refuse_other_plan(row: Round, mark: str | None) -> None:
    if mark is not None and mark != _mark(matches.preview(row)):
        raise Conflict("Something has changed since you looked, a new defence perhaps. Look at the preview again.")


@blueprint.route("/admin/rounds/<id:number>/house")
@blueprint.response(200, HouseStateSchema)
def show_house(number: int) -> dict[str, Any]:
    """What the house has for a round."""
    row = rounds.by_number(number)
    reference = house.reference(row)
    return {
        "reference": reference.upload_id if reference else None,
        "ready": len(house.defences(row)),
        "names": rounds.track(row).house_defences(),
    }


@blueprint.route("/admin/rounds/<id:number>/house", methods=["POST"])
@blueprint.arguments(HouseSchema)
@blueprint.response(202, HouseSchema)
def prepare_house(values: dict[str, Any], number: int) -> dict[str, Any]:
    """Have defences of the house made and checked."""
    house.prepare(me(), rounds.by_number(number), values["count"])
    return values


@blueprint.route("/admin/rounds/<id:number>/reference", methods=["POST"])
@blueprint.arguments(FileSchema, location="files")
@blueprint.response(202, AdminUploadSchema)
def submit_reference(files: dict[str, Any], number: int) -> dict[str, Any]:
    """Hand in the undefended reference that utility is measured against."""
    row, file = rounds.by_number(number), files["file"]
    name = checked(file, tracks.card(row.track).defence.suffixes)
    return shown_upload(house.submit_reference(me(), row, file.stream, name))


@blueprint.route("/admin/rounds/<id:number>/reference/generated", methods=["POST"])
@blueprint.response(202)
def prepare_reference(number: int) -> None:
    """Have the undefended reference made from generated data."""
    house.prepare_reference(me(), rounds.by_number(number))
