"""Checkpoints as WhisperTrace's clients know them: trainings of language models, and the models they leave."""

from typing import Any

from flask import Response, url_for

from app.api.auth import me
from app.api.blueprint import Resource
from app.api.files import ACCEPTED, BINARY
from app.api.jobs import finished, kept, location, mine, own
from app.api.schemas.whispertrace import CheckpointSchema, NewCheckpointSchema
from app.models import Job
from app.services import assets, corpora, jobs

blueprint = Resource(
    "checkpoints", "checkpoints", "Trainings of word-level language models, with WhisperTrace's names."
)
SLUG, FILE = "language-training", "checkpoint.safetensors"


@blueprint.route("/checkpoints", methods=["POST"])
@blueprint.arguments(NewCheckpointSchema)
@blueprint.response(202, CheckpointSchema, headers=ACCEPTED)
def create(values: dict[str, Any]) -> Any:
    """Train a model on a part of a corpus; a worker does it, so follow Location."""
    corpus = corpora.named(me(), corpora.KIND, values.pop("corpus"))
    job = jobs.request(me(), SLUG, values, {"corpus": corpus}, values.pop("seed", None))
    return shown(job), 202, location(job, "api.checkpoints.one")


@blueprint.route("/checkpoints")
@blueprint.response(200, CheckpointSchema(many=True))
@blueprint.paginate()
def everyone(pagination_parameters: Any) -> list[dict[str, Any]]:
    """One's own trainings, newest first."""
    return [shown(job) for job in own(pagination_parameters, SLUG)]


@blueprint.route("/checkpoints/<string(maxlength=32):key>")
@blueprint.response(200, CheckpointSchema)
def one(key: str) -> dict[str, Any]:
    """How far a training is; its job has the loss curve."""
    return shown(training(key))


@blueprint.route("/checkpoints/<string(maxlength=32):key>/file")
@blueprint.response(200, BINARY, content_type="application/octet-stream")
def file(key: str) -> Response:
    """The weights and the manifest as one safetensors file."""
    training(key)
    return kept(finished(key), FILE, f"{key}.safetensors", "application/octet-stream")


@blueprint.route("/checkpoints/<string(maxlength=32):key>", methods=["DELETE"])
@blueprint.response(204)
def remove(key: str) -> None:
    """Stop a training if it runs, and take it and its checkpoint off one's list."""
    job = training(key)
    left = corpora.checkpoint(job)
    if left is not None:
        assets.delete(me(), left)
    jobs.delete(me(), job)


def training(key: str) -> Job:
    """One's own training."""
    return mine(key, SLUG, "checkpoint")


def shown(job: Job) -> dict[str, Any]:
    """A training as its schema reads it."""
    left = corpora.checkpoint(job)
    names = ("epochs", "batch_size", "learning_rate")
    return {name: job.parameters[name] for name in names} | {
        "id": job.key,
        "name": left.name if left else job.parameters["name"],
        "corpus": jobs.inputs(job)["corpus"].name,
        "status": job.status,
        "progress": job.progress,
        "checkpoint": left.key if left else None,
        "job": url_for("api.jobs.one", key=job.key),
    }
