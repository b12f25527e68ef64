"""Attacks: what to attack, handing in, following, results, and which one counts."""

from hashlib import sha256
from typing import Any

from app import tracks
from app.api.auth import me
from app.api.blueprint import Resource
from app.api.files import ACCEPTED, BINARY, checked, location, original, sent
from app.api.schemas.uploads import AttackSchema, FileSchema, KeySchema, RoundFilterSchema, UploadSchema
from app.api.uploads import mine, shown, visible
from app.models import Status, Upload, UploadKind
from app.services import attacks, files, matches, rounds, teams

blueprint = Resource("attacks", "attacks", "Downloading what is to be attacked, handing in the answer, its results.")


@blueprint.route("/challenge")
@blueprint.response(200, BINARY, content_type="application/zip")
def challenge() -> Any:
    """One zip with the files of all opponents of the current round."""
    with files.workspace() as folder:
        path = folder / "sets.zip"
        name = attacks.download(me(), path)
        # An open file outlives its name: nothing is left behind once it is sent.
        response = sent(path.open("rb"), name)
    response.set_etag(_mark())
    return response


def _mark() -> str:
    """Names the content of the zip, whose bytes hold the time at which it was made."""
    team = teams.of(me())
    found = matches.of_attacker(team, rounds.by_number(None)) if team else []
    return sha256(" ".join(match.defence.download for match in found).encode()).hexdigest()


@blueprint.route("/answers", methods=["POST"])
@blueprint.arguments(FileSchema, location="files")
@blueprint.arguments(KeySchema, location="headers")
@blueprint.response(202, UploadSchema, headers=ACCEPTED)
def create(sent_files: dict[str, Any], headers: dict[str, str]) -> Any:
    """Hand in the answer to all matches of the current round; it is scored later, so follow Location."""
    file = sent_files["file"]
    name = checked(file, tracks.card(rounds.by_number(None).track).answer.suffixes)
    upload = attacks.submit(me(), file.stream, name, headers.get("idempotency_key"))
    return shown(upload), 202, location(upload)


@blueprint.route("/answers")
@blueprint.arguments(RoundFilterSchema, location="query")
@blueprint.response(200, UploadSchema(many=True))
@blueprint.paginate()
def everyone(filters: dict[str, Any], pagination_parameters: Any) -> list[dict[str, Any]]:
    """The attacks of one's team in a round, newest first."""
    return [shown(upload) for upload in mine(UploadKind.ATTACK, filters.get("round"), pagination_parameters)]


@blueprint.route("/answers/<id:identity>")
@blueprint.response(200, AttackSchema)
def one(identity: int) -> dict[str, Any]:
    """How far an attack is: place in the queue, every reason, or what it reaches in every match."""
    return _full(visible(identity, UploadKind.ATTACK))


def _full(upload: Upload) -> dict[str, Any]:
    parts = attacks.of_upload(upload) if upload.status is Status.ACCEPTED else []
    results = [
        {"match": part.match_id, "defender": part.match.defender, **attacks.shown(part, upload.round)} for part in parts
    ]
    return {**shown(upload), "results": results}


@blueprint.route("/answers/<id:identity>/choose", methods=["POST"])
@blueprint.response(200, AttackSchema)
def choose(identity: int) -> dict[str, Any]:
    """Say that this attack counts, in rounds where the team chooses."""
    upload = visible(identity, UploadKind.ATTACK)
    attacks.choose(me(), upload)
    return _full(upload)


@blueprint.route("/answers/<id:identity>/file")
@blueprint.response(200, BINARY, content_type="application/zip")
def file(identity: int) -> Any:
    """The file as it was handed in."""
    return original(visible(identity, UploadKind.ATTACK))
