"""Security evaluations as PandaVision's clients ask for them and read them."""

from collections.abc import Callable
from typing import Any

from flask import Response, json, url_for

from app.api.auth import me
from app.api.blueprint import Resource
from app.api.files import ACCEPTED
from app.api.jobs import DETAILS, attached, location, mine, own
from app.api.schemas.security_evaluations import (
    AttacksSchema,
    EvaluationFilterSchema,
    EvaluationRequestSchema,
    EvaluationRowSchema,
    EvaluationSchema,
    InspectedSchema,
    InspectionSchema,
    OutputSchema,
    SizeSchema,
    SizesSchema,
)
from app.errors import InvalidParameters, NotFound
from app.experiments.pandavision import answers, offers, requests
from app.experiments.security_evaluation import CARD
from app.models import Asset, Job, Status
from app.services import assets, files, jobs

blueprint = Resource(
    "security_evaluations",
    "security evaluations",
    "Accuracy of an uploaded classifier under attack, with PandaVision's addresses and keys.",
)
ELSEWHERE = {"Location": {"description": "Where to ask instead.", "schema": {"type": "string"}}}
INPUTS = {"model": "trained-model", "dataset": "dataset"}
TEXT = {"type": "string"}


@blueprint.route("/security_evaluations", methods=["POST"])
@blueprint.arguments(EvaluationRequestSchema)
@blueprint.response(202, EvaluationSchema, headers=ACCEPTED)
def create(values: dict[str, Any]) -> Any:
    """Evaluate an uploaded model on an uploaded data set; the answer has the id to follow."""
    body = {key.replace("_", "-"): value for key, value in values.items()}
    named = requests.translate(body)
    chosen = {name: _chosen(name, wanted) for name, wanted in (("model", named.model), ("dataset", named.dataset))}
    shape = chosen["dataset"].facts.get("shape", [3]) if chosen["dataset"] else [3]
    asked = requests.translate(body, shape[0])
    missing = {INPUTS[name]: _missing(name) for name, asset in chosen.items() if asset is None}
    if problems := asked.problems | missing:
        raise InvalidParameters(problems)
    inputs = {name: asset for name, asset in chosen.items() if asset is not None}
    try:
        job = jobs.request(me(), CARD.slug, asked.parameters, inputs, sent=body)
    except InvalidParameters as error:
        named_problems = {INPUTS.get(name, name): problem for name, problem in error.problems.items()}
        raise InvalidParameters(named_problems) from error
    return _shown(job), 202, location(job, "api.security_evaluations.one")


def _chosen(kind: str, wanted: str) -> Asset | None:
    """One's own file with this name or key, the newest version; without a name the newest that can be used."""
    own = assets.of(me(), kind)
    fitting = [asset for asset in own if asset.status is Status.ACCEPTED or wanted in (asset.key, asset.name)]
    return next((asset for asset in fitting if not wanted or wanted in (asset.key, asset.name)), None)


def _missing(kind: str) -> str:
    address = url_for("api.assets.create", kind=kind)
    return f"is not among your files: upload one with POST {address}, and wait for its check"


@blueprint.route("/security_evaluations")
@blueprint.arguments(EvaluationFilterSchema, location="query")
@blueprint.response(200, EvaluationRowSchema(many=True))
@blueprint.paginate()
def everyone(filters: dict[str, Any], pagination_parameters: Any) -> list[dict[str, Any]]:
    """One's own evaluations, newest first."""
    word = filters.get("status")
    # What is "failed" to the predecessor's clients is one of two states here: the submitter's fault, or ours.
    wanted = [ours for ours, theirs in answers.WORDS.items() if theirs == word]
    found = own(pagination_parameters, CARD.slug, wanted)
    return [{"id": job.key, "status": answers.WORDS[job.status], "created_at": job.created_at} for job in found]


@blueprint.route("/security_evaluations/<string(maxlength=32):key>")
@blueprint.response(200, EvaluationSchema)
@blueprint.alt_response(303, schema=TEXT, headers=ELSEWHERE, description="It is finished; Location has the output.")
def one(key: str) -> Any:
    """How far an evaluation is; once it is finished, the way to its output."""
    job = _mine(key)
    if job.status is Status.ACCEPTED:
        return _elsewhere("output", key, "finished")
    return _shown(job)


@blueprint.route("/security_evaluations/<string(maxlength=32):key>", methods=["DELETE"])
@blueprint.response(204)
def remove(key: str) -> None:
    """Stop an evaluation if it is not over, and take it off one's list."""
    jobs.delete(me(), _mine(key))


@blueprint.route("/security_evaluations/<string(maxlength=32):key>/output")
@blueprint.response(200, OutputSchema)
@blueprint.alt_response(303, schema=TEXT, headers=ELSEWHERE, description="It is not finished; Location has its status.")
def output(key: str) -> Any:
    """The result: level, curve with counts and intervals, paths and images of a few samples."""
    job = _mine(key)
    if job.status is not Status.ACCEPTED:
        return _unfinished(job)
    return {
        "task_status": "finished",
        "results": answers.results(job.report, _arrays(job, *answers.PATHS, *answers.PICTURES)),
    }


@blueprint.route("/security_evaluations/<string(maxlength=32):key>/output/csv")
@blueprint.response(200, TEXT, content_type="text/csv")
@blueprint.alt_response(303, schema=TEXT, headers=ELSEWHERE, description="It is not finished; Location has its status.")
def output_csv(key: str) -> Response:
    """The curve as CSV."""
    job = _mine(key)
    if job.status is not Status.ACCEPTED:
        return _unfinished(job)
    return attached(answers.csv_text(job.report), "sec_eval_results.csv")


@blueprint.route("/security_evaluations/<string(maxlength=32):key>/inspect/")
@blueprint.response(200, InspectedSchema)
@blueprint.alt_response(303, schema=TEXT, headers=ELSEWHERE, description="It is not finished; Location has its status.")
def inspect(key: str) -> Any:
    """Which samples and perturbation sizes can be looked at."""
    job = _mine(key)
    if job.status is not Status.ACCEPTED:
        return _unfinished(job)
    return answers.samples(job.report, _arrays(job, "inspected_original"))


@blueprint.route("/security_evaluations/<string(maxlength=32):key>/inspect/<id:sample>")
@blueprint.arguments(SizeSchema, location="query")
@blueprint.response(200, InspectionSchema)
@blueprint.alt_response(303, schema=TEXT, headers=ELSEWHERE, description="It is not finished; Location has its status.")
def inspect_one(filters: dict[str, Any], key: str, sample: int) -> Any:
    """Loss and distance by iteration, and predictions, of one sample at one perturbation size."""
    job = _mine(key)
    if job.status is not Status.ACCEPTED:
        return _unfinished(job)
    try:
        return answers.inspection(
            job.report, _arrays(job, *answers.PATHS, *answers.ABOUT), sample, filters.get("epsilon", -1)
        )
    except IndexError as error:
        raise NotFound("This sample or perturbation size was not kept for inspection.") from error


@blueprint.route("/security_evaluations/<string(maxlength=32):key>/inspect/<id:sample>/<string(maxlength=16):image>")
@blueprint.arguments(SizeSchema, location="query")
@blueprint.response(200, TEXT)
@blueprint.alt_response(303, schema=TEXT, headers=ELSEWHERE, description="It is not finished; Location has its status.")
def picture(filters: dict[str, Any], key: str, sample: int, image: str) -> Any:
    """A picture as a data URI: adv_examples, orig_samples or diff."""
    job = _mine(key)
    if job.status is not Status.ACCEPTED:
        return _unfinished(job)
    try:
        uri = answers.image(_arrays(job, *answers.PICTURES), sample, image, filters.get("epsilon", -1))
    except (IndexError, KeyError) as error:
        raise NotFound(f"There is no such picture. There are {', '.join(answers.IMAGES)}.") from error
    return Response(json.dumps(uri), mimetype="application/json")


@blueprint.route("/attacks")
@blueprint.response(200, {"type": "array", "items": TEXT})
def norms() -> Response:
    """The norms in which attacks measure their perturbations."""
    return Response(json.dumps(offers.attacks()), mimetype="application/json")


@blueprint.route("/attacks/<string(maxlength=8):norm>")
@blueprint.response(200, AttacksSchema)
def attacks(norm: str) -> dict[str, Any]:
    """The attacks of a norm, as pairs of label and name."""
    return {"attacks": _known(offers.attacks, norm)}


@blueprint.route("/pert_sizes/<string(maxlength=8):norm>")
@blueprint.response(200, SizesSchema)
def pert_sizes(norm: str) -> dict[str, Any]:
    """The usual perturbation sizes of a norm, as pairs of label and value."""
    return {"pert_sizes": _known(offers.sizes, norm)}


def _known(offer: Callable[[str], list[Any]], norm: str) -> list[Any]:
    try:
        return offer(norm)
    except KeyError as error:
        raise NotFound(f"There is no such norm. There are {', '.join(offers.attacks())}.") from error


def _mine(key: str) -> Job:
    return mine(key, CARD.slug, "evaluation")


def _arrays(job: Job, *names: str) -> dict[str, Any]:
    with files.workspace() as folder:
        return answers.numbers_of(jobs.arrays(job, folder), *names)


def _unfinished(job: Job) -> Response:
    return _elsewhere("one", job.key, answers.WORDS[job.status])


def _elsewhere(endpoint: str, key: str, word: str) -> Response:
    address = url_for(f"api.security_evaluations.{endpoint}", key=key)
    return Response(json.dumps(word), 303, {"Location": address, "Retry-After": "1"}, mimetype="application/json")


def _shown(job: Job) -> dict[str, Any]:
    return {
        "id": job.key,
        "task_status": answers.WORDS[job.status],
        "progress": job.progress,
        "position": jobs.position(job),
        "seconds_left": jobs.seconds_left(job),
        "reasons": job.reasons,
        "detail": DETAILS.get(job.status, ""),
        "parameters": job.parameters,
    }
