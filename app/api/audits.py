"""Membership attacks on language models as WhisperTrace's clients know them."""

from typing import Any

from flask import Response, url_for

from app.api.auth import me
from app.api.blueprint import Resource
from app.api.checkpoints import SLUG as TRAINING
from app.api.files import ACCEPTED
from app.api.jobs import finished, kept, location, mine, own
from app.api.schemas.whispertrace import MembershipAuditRequestSchema, MembershipAuditSchema
from app.errors import Conflict
from app.models import Asset, Job, Status
from app.services import corpora, jobs

blueprint = Resource("mia", "membership audits", "Which sentences a model has seen, with WhisperTrace's names.")
SLUG = "membership-audit"
COLUMNS = {
    "Sentence": "content",
    "Score": "score",
    "Normalised score": "normalized_score",
    "p-value": "p_value",
    "Unknown words": "unknown_words",
}
"""The columns of the report's first table that clients know by other names."""
TEXT = {"type": "string"}


@blueprint.route("/mia", methods=["POST"])
@blueprint.arguments(MembershipAuditRequestSchema)
@blueprint.response(202, MembershipAuditSchema, headers=ACCEPTED)
def create(values: dict[str, Any]) -> Any:
    """Attack a checkpoint with the corpus that it was trained on; a worker does it, so follow Location."""
    inputs = {
        "checkpoint": _checkpoint(values["checkpoint"]),
        "corpus": corpora.named(me(), corpora.KIND, values["corpus"]),
    }
    parameters = {"sentences": values.get("input", ""), "batch_size": values.get("batch_size", 64)}
    job = jobs.request(me(), SLUG, parameters, inputs, values.get("seed"))
    return shown(job), 202, location(job, "api.mia.one")


def _checkpoint(wanted: str) -> Asset:
    """A checkpoint by the id of its training, its key or its name."""
    trained = [job for job in jobs.of(me(), 1, 200, TRAINING, Status.ACCEPTED)[0] if job.key == wanted]
    left = corpora.checkpoint(trained[0]) if trained else None
    if left is None:
        return corpora.named(me(), corpora.CHECKPOINT, wanted)
    if left.status is not Status.ACCEPTED:
        raise Conflict("The checkpoint is still being checked. Try again in a moment.")
    return left


@blueprint.route("/mia")
@blueprint.response(200, MembershipAuditSchema(many=True))
@blueprint.paginate()
def everyone(pagination_parameters: Any) -> list[dict[str, Any]]:
    """One's own audits, newest first."""
    return [shown(job) for job in own(pagination_parameters, SLUG)]


@blueprint.route("/mia/<string(maxlength=32):key>")
@blueprint.response(200, MembershipAuditSchema)
def one(key: str) -> dict[str, Any]:
    """How far an audit is, and what it found; its job has every attack, interval and picture."""
    return shown(_mine(key))


@blueprint.route("/mia/<string(maxlength=32):key>/output.csv")
@blueprint.response(200, TEXT, content_type="text/csv")
def table(key: str) -> Response:
    """The verdicts as CSV."""
    return _file(key, "output.csv", "text/csv")


@blueprint.route("/mia/<string(maxlength=32):key>/output.txt")
@blueprint.response(200, TEXT, content_type="text/plain")
def drawn(key: str) -> Response:
    """The verdicts as a drawn table."""
    return _file(key, "output.txt", "text/plain")


def _file(key: str, name: str, mimetype: str) -> Response:
    _mine(key)
    return kept(finished(key), name, f"{key}-{name}", mimetype)


@blueprint.route("/mia/<string(maxlength=32):key>", methods=["DELETE"])
@blueprint.response(204)
def remove(key: str) -> None:
    """Stop an audit if it runs, and take it off one's list."""
    jobs.delete(me(), _mine(key))


def _mine(key: str) -> Job:
    return mine(key, SLUG, "audit")


def shown(job: Job) -> dict[str, Any]:
    """An audit as its schema reads it."""
    inputs, report = jobs.inputs(job), job.report
    return {
        "id": job.key,
        "checkpoint": inputs["checkpoint"].name,
        "corpus": inputs["corpus"].name,
        "batch_size": job.parameters["batch_size"],
        "input": job.parameters["sentences"],
        "status": job.status,
        "progress": job.progress,
        "auc": report["metrics"]["auc"]["value"] if report else None,
        "timestamp": job.finished_at if report else None,
        "sentences": _sentences(report["tables"][0]) if report else [],
        "job": url_for("api.jobs.one", key=job.key),
    }


def _sentences(judged: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [dict(zip(judged["columns"], row, strict=True)) for row in judged["rows"]]
    return [
        {name: row[column] for column, name in COLUMNS.items()} | {"is_member": row["Verdict"] == "member"}
        for row in rows
    ]
