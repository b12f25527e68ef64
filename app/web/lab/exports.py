"""The report of a job as files: everything as JSON, tables and pictures as CSV, arrays as npz."""

import os
import re
from collections.abc import Callable

from flask import Response, send_file

from app.errors import Conflict, NotFound
from app.models import Job, Status
from app.services import files, jobs
from app.web.lab import blueprint
from app.web.lab.jobs import one
from app.web.lab.reports import as_csv, as_json, rows_of_figure


@blueprint.get("/jobs/<key>/export/<kind>")
def export(key: str, kind: str) -> Response:
    """One file: report.json, arrays.npz, table-1.csv or figure-1.csv."""
    row = one(key)
    if row.status is not Status.ACCEPTED:
        raise Conflict("This job has no result.")
    found = re.fullmatch(r"(report\.json|arrays\.npz|table|figure)(?:-([1-9][0-9]{0,3})\.csv)?", kind, re.ASCII)
    writer = WRITERS.get(found[1]) if found else None
    # A number belongs to tables and figures, and to nothing else.
    if found is None or writer is None or (found[2] is None) == (found[1] in {"table", "figure"}):
        raise NotFound("There is no such export.")
    return writer(row, int(found[2] or 1) - 1)


def _report(row: Job, _: int) -> Response:
    return _attached(row, as_json(row, jobs.inputs(row)), "report.json", "application/json")


def _table(row: Job, place: int) -> Response:
    tables = row.report["tables"]
    if place >= len(tables):
        raise NotFound("The report has no such table.")
    text = as_csv(tables[place]["columns"], tables[place]["rows"])
    return _attached(row, text, f"table-{place + 1}.csv", "text/csv")


def _figure(row: Job, place: int) -> Response:
    figures = row.report["figures"]
    rows = rows_of_figure(figures[place]) if place < len(figures) else []
    if not rows:
        raise NotFound("The report has no such figure, or it is made of images: see the arrays.")
    return _attached(row, as_csv(rows[0], rows[1:]), f"figure-{place + 1}.csv", "text/csv")


def _arrays(row: Job, _: int) -> Response:
    with files.workspace() as folder:
        # An open file outlives its name, so that a copy from object storage is gone once it is closed.
        stream = jobs.arrays(row, folder).open("rb")
    name = f"{_stem(row)}-arrays.npz"
    response = send_file(stream, "application/octet-stream", as_attachment=True, download_name=name)
    response.content_length = os.fstat(stream.fileno()).st_size
    return response


@blueprint.get("/jobs/<key>/files/<name>")
def file(key: str, name: str) -> Response:
    """One of the further files of a report."""
    row = one(key)
    with files.workspace() as folder:
        stream = jobs.file(row, name, folder).open("rb")
    response = send_file(stream, "application/octet-stream", as_attachment=True, download_name=name)
    response.content_length = os.fstat(stream.fileno()).st_size
    return response


def _attached(row: Job, text: str, name: str, mimetype: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{_stem(row)}-{name}"'}
    return Response(text, mimetype=mimetype, headers=headers)


def _stem(row: Job) -> str:
    return f"{row.experiment}-{row.key[:8]}"


WRITERS: dict[str, Callable[[Job, int], Response]] = {
    "report.json": _report,
    "arrays.npz": _arrays,
    "table": _table,
    "figure": _figure,
}
