"""How things stand, what went out, who did what, and everything as CSV."""

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify, stream_with_context

from app.api.admin import resource
from app.api.auth import me
from app.api.schemas.admin import (
    AuditFilterSchema,
    AuditSchema,
    CountSchema,
    MailDetailSchema,
    MailFilterSchema,
    MailSchema,
    OverviewSchema,
)
from app.errors import NotFound
from app.models import AuditEntry, Mail
from app.services import audit, exports, mails, overview, rounds

blueprint = resource("records", "Overview, mails, the audit log, exports.")
CSV = {"type": "string"}


@blueprint.route("/admin/overview")
@blueprint.response(200, OverviewSchema)
def show() -> dict[str, Any]:
    """Queues, work, mails, and how many of everything there are."""
    return asdict(overview.now_standing(rounds.current()))


@blueprint.route("/admin/audit")
@blueprint.arguments(AuditFilterSchema, location="query")
@blueprint.response(200, AuditSchema(many=True))
@blueprint.paginate()
def log(filters: dict[str, Any], pagination_parameters: Any) -> list[AuditEntry]:
    """Who did what, newest first."""
    pages = pagination_parameters
    found, pages.item_count = audit.entries(pages.page, pages.page_size, **filters)
    return found


@blueprint.route("/admin/exports")
@blueprint.response(200, {"type": "object", "additionalProperties": {"type": "integer"}})
def sizes() -> Any:
    """The number of rows of every table that can be exported."""
    return jsonify(exports.sizes())


@blueprint.route("/admin/exports/<string(maxlength=32):name>.csv")
@blueprint.response(200, CSV, content_type="text/csv")
def export(name: str) -> Response:
    """One table as CSV, sent line by line."""
    if name not in exports.TABLES:
        raise NotFound("There is no such export.")
    response = Response(stream_with_context(exports.table(name)), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="srs_{name}.csv"'
    return response


@blueprint.route("/admin/mails")
@blueprint.arguments(MailFilterSchema, location="query")
@blueprint.response(200, MailSchema(many=True))
@blueprint.paginate()
def outbox(filters: dict[str, Any], pagination_parameters: Any) -> list[Mail]:
    """All mails, newest first."""
    pages = pagination_parameters
    found, pages.item_count = mails.outbox(pages.page, pages.page_size, filters.get("status", ""))
    return found


@blueprint.route("/admin/mails/<id:identity>")
@blueprint.response(200, MailDetailSchema)
def mail(identity: int) -> Mail:
    """One mail with its text."""
    return mails.one(identity)


@blueprint.route("/admin/mails/<id:identity>/again", methods=["POST"])
@blueprint.response(202, MailSchema)
def retry(identity: int) -> Mail:
    """Try to send a mail again."""
    found = mails.one(identity)
    mails.try_again(me(), found)
    return found


@blueprint.route("/admin/mails/failed", methods=["POST"])
@blueprint.response(202, CountSchema)
def retry_failed() -> dict[str, int]:
    """Try to send every failed mail again."""
    return {"count": mails.try_all_again(me())}
