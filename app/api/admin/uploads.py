"""Uploads and the house's results: all of them, our log, and evaluating again."""

from typing import Any

from app.api.admin import resource
from app.api.auth import me
from app.api.files import BINARY, original
from app.api.schemas.admin import CountSchema, ReferenceFullSchema, ReferenceRowSchema
from app.api.schemas.uploads import AdminUploadSchema, StatusFilterSchema, UploadFilterSchema
from app.api.uploads import shown
from app.errors import NotFound
from app.models import ReferenceResult, Round
from app.services import defences, references, rounds, uploads

blueprint = resource("uploads", "Every upload and every result of the house.")


def _round(filters: dict[str, Any]) -> Round | None:
    """The round that is asked for; all rounds when none is."""
    return rounds.by_number(filters["round"]) if "round" in filters else None


@blueprint.route("/admin/uploads")
@blueprint.arguments(UploadFilterSchema, location="query")
@blueprint.response(200, AdminUploadSchema(many=True))
@blueprint.paginate()
def everything(filters: dict[str, Any], pagination_parameters: Any) -> list[dict[str, Any]]:
    """All uploads of all teams, newest first; without a round those of all rounds."""
    pages, words = pagination_parameters, {name: filters.get(name, "") for name in ("status", "kind")}
    found, pages.item_count = uploads.everything(pages.page, pages.page_size, _round(filters), **words)
    return [shown(upload) for upload in found]


@blueprint.route("/admin/uploads/<id:identity>")
@blueprint.response(200, AdminUploadSchema)
def one(identity: int) -> dict[str, Any]:
    """One upload of any kind, with our log."""
    return shown(uploads.one(identity))


@blueprint.route("/admin/uploads/<id:identity>/file")
@blueprint.response(200, BINARY, content_type="application/zip")
def file(identity: int) -> Any:
    """The uploaded file."""
    return original(uploads.one(identity))


@blueprint.route("/admin/uploads/<id:identity>/reevaluation", methods=["POST"])
@blueprint.response(202, AdminUploadSchema)
def reevaluate(identity: int) -> dict[str, Any]:
    """Evaluate an upload again, as if it had just arrived."""
    upload = uploads.one(identity)
    uploads.reevaluate(me(), upload)
    return shown(upload)


@blueprint.route("/admin/uploads/<id:identity>/refund", methods=["POST"])
@blueprint.response(200, AdminUploadSchema)
def refund(identity: int) -> dict[str, Any]:
    """Do not count an upload against its team's limits."""
    upload = uploads.one(identity)
    uploads.refund(me(), upload)
    return shown(upload)


@blueprint.route("/admin/uploads/<id:identity>/adversaries", methods=["POST"])
@blueprint.response(202, CountSchema)
def play_again(identity: int) -> dict[str, int]:
    """Play every adversary of the house again on the defence of an upload."""
    defence = defences.of_upload(uploads.one(identity))
    if defence is None:
        raise NotFound("This upload has not become a defence.")
    references.play_again(me(), defence)
    return {"count": len(defence.references)}


@blueprint.route("/admin/references")
@blueprint.arguments(StatusFilterSchema, location="query")
@blueprint.response(200, ReferenceRowSchema(many=True))
@blueprint.paginate()
def results(filters: dict[str, Any], pagination_parameters: Any) -> list[ReferenceResult]:
    """All results of the house's adversaries, newest first; without a round those of all rounds."""
    pages = pagination_parameters
    found, pages.item_count = references.everything(
        pages.page, pages.page_size, _round(filters), filters.get("status", "")
    )
    return found


@blueprint.route("/admin/references/<id:identity>")
@blueprint.response(200, ReferenceFullSchema)
def result(identity: int) -> ReferenceResult:
    """One result with its pictures as data and our log."""
    return references.one(identity)


@blueprint.route("/admin/references/<id:identity>/again", methods=["POST"])
@blueprint.response(202, CountSchema)
def requeue(identity: int) -> dict[str, int]:
    """Play one adversary again."""
    return {"count": references.requeue(me(), [references.one(identity)])}


@blueprint.route("/admin/references/failed", methods=["POST"])
@blueprint.response(202, CountSchema)
def requeue_failed() -> dict[str, int]:
    """Play every adversary again that failed."""
    return {"count": references.requeue(me(), references.failed())}
