"""Defences: handing in, following, results."""

from typing import Any

from app import tracks
from app.api.auth import me
from app.api.blueprint import Resource
from app.api.files import ACCEPTED, BINARY, checked, location, original, sent
from app.api.schemas.uploads import (
    DefenceSchema,
    FileSchema,
    KeySchema,
    ReferenceDetailSchema,
    RoundFilterSchema,
    UploadSchema,
)
from app.api.uploads import mine, shown, visible
from app.errors import NotFound
from app.models import Defence, ReferenceResult, Status, Upload, UploadKind
from app.services import attacks, defences, issues, references, rounds

blueprint = Resource("defences", "defences", "Handing in a defence and following what becomes of it.")


@blueprint.route("/issue")
@blueprint.response(200, BINARY, content_type="application/zip")
def issue() -> Any:
    """What the current round issued to one's team to defend with, as one zip; not every track issues something."""
    return sent(*issues.download(me(), rounds.by_number(None)))


@blueprint.route("/defences", methods=["POST"])
@blueprint.arguments(FileSchema, location="files")
@blueprint.arguments(KeySchema, location="headers")
@blueprint.response(202, UploadSchema, headers=ACCEPTED)
def create(files: dict[str, Any], headers: dict[str, str]) -> Any:
    """Hand in a defence of the current round; it is checked later, so follow Location."""
    file = files["file"]
    name = checked(file, tracks.card(rounds.by_number(None).track).defence.suffixes)
    upload = defences.submit(me(), file.stream, name, headers.get("idempotency_key"))
    return shown(upload), 202, location(upload)


@blueprint.route("/defences")
@blueprint.arguments(RoundFilterSchema, location="query")
@blueprint.response(200, UploadSchema(many=True))
@blueprint.paginate()
def everyone(filters: dict[str, Any], pagination_parameters: Any) -> list[dict[str, Any]]:
    """The defences of one's team in a round, newest first."""
    return [shown(upload) for upload in mine(UploadKind.DEFENCE, filters.get("round"), pagination_parameters)]


@blueprint.route("/defences/<id:identity>")
@blueprint.response(200, DefenceSchema)
def one(identity: int) -> dict[str, Any]:
    """How far a defence is: place in the queue, every reason, or its utility and what the house reaches against it."""
    upload = visible(identity, UploadKind.DEFENCE)
    return {**shown(upload), "result": _result(upload)}


def _result(upload: Upload) -> dict[str, Any] | None:
    defence = defences.of_upload(upload) if upload.status is Status.ACCEPTED else None
    if defence is None:
        return None
    counted = defences.counted(upload.team, upload.round)
    is_counted = counted is not None and counted.id == defence.id
    measured = {name: getattr(defence, name) for name in ("utility", "classic", "metrics", "figures", "references")}
    pressure = attacks.against(upload.team, upload.round) if is_counted else None
    return {**measured, "is_counted": is_counted, "pressure": pressure}


@blueprint.route("/defences/<id:identity>/references/<string(maxlength=48):adversary>")
@blueprint.response(200, ReferenceDetailSchema)
def reference(identity: int, adversary: str) -> ReferenceResult:
    """What one adversary of the house reaches against a defence, with its pictures as data."""
    return references.named(_defence(identity), adversary)


def _defence(identity: int) -> Defence:
    defence = defences.of_upload(visible(identity, UploadKind.DEFENCE))
    if defence is None:
        raise NotFound("This upload has not become a defence.")
    return defence


@blueprint.route("/defences/<id:identity>/file")
@blueprint.response(200, BINARY, content_type="application/zip")
def file(identity: int) -> Any:
    """The file as it was handed in."""
    return original(visible(identity, UploadKind.DEFENCE))
