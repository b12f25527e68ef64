"""Experiments and their runs: requested, followed, cancelled, repeated, read."""

import csv
from collections.abc import Collection
from io import StringIO
from typing import Any

from flask import Response, url_for
from flask_smorest.pagination import PaginationParameters

from app import experiments
from app.api import parameters
from app.api.assets import is_key
from app.api.auth import me
from app.api.blueprint import Resource
from app.api.files import ACCEPTED, BINARY, sent
from app.api.schemas.lab import (
    ExperimentSchema,
    JobFilterSchema,
    JobSchema,
    NewJobSchema,
    ReportSchema,
    TableFilterSchema,
)
from app.errors import Conflict, InvalidParameters, NotFound
from app.models import Asset, Job, Status
from app.parameters import describe
from app.services import assets, files, jobs

blueprint = Resource("jobs", "lab jobs", "What can be run in the lab, and the runs.")
COLUMNS = (
    *("key", "experiment", "status", "progress", "look", "reasons", "parameters", "seed"),
    *("created_at", "started_at", "finished_at"),
)
DETAILS = {
    Status.FAILED: "Something broke on our side, several times. It has been logged.",
    Status.CANCELLED: "It was cancelled.",
}


@blueprint.route("/experiments")
@blueprint.response(200, ExperimentSchema(many=True))
def offered() -> list[dict[str, Any]]:
    """What can be run, with what a form and a program need to know."""
    return [_described(card) for card in experiments.CARDS]


def _described(card: experiments.Card) -> dict[str, Any]:
    names = ("slug", "title", "summary", "is_heavy", "inputs", "metrics")
    listed = [parameters.row(parameter) for parameter in describe(card.load().Parameters)]
    return {name: getattr(card, name) for name in names} | {"parameters": listed}


@blueprint.route("/experiments/<string(maxlength=48):slug>", methods=["POST"])
@blueprint.arguments(NewJobSchema)
@blueprint.response(202, JobSchema, headers=ACCEPTED)
def create(values: dict[str, Any], slug: str) -> Any:
    """Run an experiment; it waits in a queue that is fair between people, so follow Location."""
    card = {card.slug: card for card in experiments.CARDS}.get(slug)
    if card is None:
        raise NotFound("There is no such experiment.")
    parameters.check({"parameters": (describe(card.load().Parameters), values["parameters"])})
    job = jobs.request(me(), slug, values["parameters"], _inputs(values["inputs"]), values.get("seed"))
    return accepted(job)


def _inputs(keys: dict[str, Any]) -> dict[str, Asset]:
    known = {asset.key: asset for asset in assets.of(me())}
    missing = [name for name, key in keys.items() if not isinstance(key, str) or key not in known]
    if missing:
        raise InvalidParameters({f"inputs.{name}": "is not the key of one of your files" for name in missing})
    return {name: known[key] for name, key in keys.items()}


def accepted(job: Job) -> Any:
    """The answer that says: received, run later."""
    return shown(job), 202, location(job)


def location(job: Job, endpoint: str = "api.jobs.one") -> dict[str, str]:
    """The headers of such an answer; `endpoint` shows the job."""
    return {"Location": url_for(endpoint, key=job.key), "Retry-After": "1"}


@blueprint.route("/jobs")
@blueprint.arguments(JobFilterSchema, location="query")
@blueprint.response(200, JobSchema(many=True))
@blueprint.paginate()
def everyone(filters: dict[str, Any], pagination_parameters: Any) -> list[dict[str, Any]]:
    """One's own jobs, newest first."""
    keys = _keys()
    return [shown(job, keys) for job in own(pagination_parameters, **filters)]


def own(pages: PaginationParameters, experiment: str = "", status: str | Collection[str] = "") -> list[Job]:
    """One page of one's own jobs, newest first."""
    found, pages.item_count = jobs.of(me(), pages.page, pages.page_size, experiment, status)
    return found


@blueprint.route("/jobs/<string(maxlength=32):key>")
@blueprint.response(200, JobSchema)
def one(key: str) -> dict[str, Any]:
    """How far a job is: place in the queue, progress, or why it was refused."""
    return shown(mine(key))


@blueprint.route("/jobs/<string(maxlength=32):key>", methods=["DELETE"])
@blueprint.response(204)
def remove(key: str) -> None:
    """Cancel a job that waits or runs; take one that is over off one's list."""
    job = mine(key)
    if job.status.final:
        jobs.delete(me(), job)
    else:
        jobs.cancel(me(), job)


@blueprint.route("/jobs/<string(maxlength=32):key>/again", methods=["POST"])
@blueprint.response(202, JobSchema, headers=ACCEPTED)
def again(key: str) -> Any:
    """Run the same again: experiment, files, parameters and seed."""
    return accepted(jobs.run_again(me(), mine(key)))


@blueprint.route("/jobs/<string(maxlength=32):key>/report")
@blueprint.response(200, ReportSchema)
def report(key: str) -> dict[str, Any]:
    """What a finished job has found."""
    return finished(key).report


@blueprint.route("/jobs/<string(maxlength=32):key>/report.csv")
@blueprint.arguments(TableFilterSchema, location="query")
@blueprint.response(200, {"type": "string"}, content_type="text/csv")
def table(filters: dict[str, Any], key: str) -> Response:
    """One table of the report as CSV, at full precision."""
    tables = finished(key).report["tables"]
    if filters["table"] >= len(tables):
        raise NotFound(f"The report has {len(tables)} tables.")
    chosen = tables[filters["table"]]
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([chosen["columns"], *chosen["rows"]])
    return attached(text.getvalue(), f"{key}.csv")


@blueprint.route("/jobs/<string(maxlength=32):key>/arrays.npz")
@blueprint.response(200, BINARY, content_type="application/octet-stream")
def arrays(key: str) -> Response:
    """The arrays of a finished job, for numpy.load."""
    job = finished(key)
    with files.workspace() as folder:
        # An open file stays readable after its folder is gone, until the answer has been sent.
        stream = jobs.arrays(job, folder).open("rb")
    response = sent(stream, f"{key}.npz", "application/octet-stream")
    response.set_etag(job.arrays)
    return response


@blueprint.route("/jobs/<string(maxlength=32):key>/files/<string(maxlength=80):name>")
@blueprint.response(200, BINARY, content_type="application/octet-stream")
def file(key: str, name: str) -> Response:
    """One of the further files of a finished job; see `files`."""
    return kept(finished(key), name, name, "application/octet-stream")


def kept(job: Job, name: str, shown_name: str, mimetype: str) -> Response:
    """A further file of a finished job as an attachment."""
    with files.workspace() as folder:
        stream = jobs.file(job, name, folder).open("rb")
    response = sent(stream, shown_name, mimetype)
    response.set_etag(job.files[name]["digest"])
    return response


def attached(text: str, name: str) -> Response:
    """A CSV file as an attachment."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, mimetype="text/csv", headers=headers)


def finished(key: str) -> Job:
    """One's own job that has a report."""
    job = mine(key)
    if job.status is not Status.ACCEPTED:
        raise Conflict(f"This job has no result: it is {job.status}.")
    return job


def mine(key: str, experiment: str = "", what: str = "job") -> Job:
    """One's own job, of this experiment if it is named."""
    if not is_key(key):
        raise NotFound(f"There is no such {what}.")
    job = jobs.by_key(key, me())
    if experiment and job.experiment != experiment:
        raise NotFound(f"There is no such {what}.")
    return job


def _keys() -> dict[int, str]:
    return {asset.id: asset.key for asset in assets.of(me())}


def shown(job: Job, keys: dict[int, str] | None = None) -> dict[str, Any]:
    """A job as its schema reads it."""
    known = _keys() if keys is None else keys
    return {name: getattr(job, name) for name in COLUMNS} | {
        "is_final": job.status.final,
        "position": jobs.position(job),
        "seconds_left": jobs.seconds_left(job),
        "inputs": {name: known[identity] for name, identity in job.inputs.items() if identity in known},
        "files": {name: kept["size"] for name, kept in job.files.items()},
        "detail": DETAILS.get(job.status, ""),
    }
