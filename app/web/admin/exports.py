"""Everything as CSV."""

from flask import Response, render_template, stream_with_context

from app.errors import NotFound
from app.services import exports
from app.web.admin import blueprint


@blueprint.get("/admin/exports", endpoint="exports")
def everything() -> str:
    """What can be downloaded."""
    return render_template("admin/exports.html", sizes=exports.sizes())


@blueprint.get("/admin/exports/<name>.csv")
def export(name: str) -> Response:
    """One table as CSV, sent line by line."""
    if name not in exports.TABLES:
        raise NotFound("There is no such export.")
    answer = Response(stream_with_context(exports.table(name)), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="srs_{name}.csv"'
    return answer
