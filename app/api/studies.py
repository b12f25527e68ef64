"""Experiments with an address of their own: one flat object of settings starts a run, which is then a job."""

from typing import Any

from flask import url_for
from marshmallow import validate

from app import experiments
from app.api import fields, jobs
from app.api.auth import me
from app.api.blueprint import Resource
from app.api.files import ACCEPTED
from app.api.schemas import Schema
from app.api.schemas.lab import JobSchema, ReportSchema
from app.errors import InvalidParameters
from app.models import Asset, Status
from app.parameters import Parameter, describe
from app.services import assets
from app.services import jobs as service

ELSEWHERE = {"Location": {"description": "Where to ask instead.", "schema": {"type": "string"}}}


SLUGS = ("federated-protection", "gradient-leakage", "imitation", "generator-training")
"""The experiments that have one."""


def study(slug: str) -> Resource:
    """The resource of the experiment with this slug; its address has underscores."""
    card, name = experiments.card(slug), slug.replace("-", "_")
    resource = Resource(name, name.replace("_", " "), card.summary)
    asked = type(f"{_camel(name)}Schema", (Schema,), {"__doc__": card.summary, **_fields(card)})

    @resource.route(f"/{name}", methods=["POST"])
    @resource.arguments(asked)
    @resource.response(202, JobSchema, headers=ACCEPTED)
    def create(values: dict[str, Any]) -> Any:
        """Run it with these settings; what is left out keeps its default. Follow Location."""
        files = {each.name: values.pop(each.name) for each in card.inputs if values.get(each.name)}
        job = service.request(me(), slug, values, _inputs(card, files), values.pop("seed", None))
        return jobs.shown(job), 202, jobs.location(job, f"api.{name}.one")

    @resource.route(f"/{name}")
    @resource.response(200, JobSchema(many=True))
    @resource.paginate()
    def everyone(pagination_parameters: Any) -> list[dict[str, Any]]:
        """One's own runs, newest first."""
        return [jobs.shown(job) for job in jobs.own(pagination_parameters, slug)]

    @resource.route(f"/{name}/<string(maxlength=32):key>")
    @resource.response(200, JobSchema)
    def one(key: str) -> dict[str, Any]:
        """How far a run is."""
        return jobs.shown(jobs.mine(key, slug, "run"))

    @resource.route(f"/{name}/<string(maxlength=32):key>/output")
    @resource.response(200, ReportSchema)
    @resource.alt_response(303, schema={"type": "string"}, headers=ELSEWHERE, description="It is not finished.")
    def output(key: str) -> Any:
        """What a run has found; while it is not finished, the way to its status."""
        job = jobs.mine(key, slug, "run")
        if job.status is Status.ACCEPTED:
            return job.report
        return "", 303, {"Location": url_for(f"api.{name}.one", key=key)}

    @resource.route(f"/{name}/<string(maxlength=32):key>", methods=["DELETE"])
    @resource.response(204)
    def remove(key: str) -> None:
        """Stop a run if it is not over, and take it off one's list."""
        service.delete(me(), jobs.mine(key, slug, "run"))

    return resource


def _inputs(card: experiments.Card, keys: dict[str, str]) -> dict[str, Asset]:
    known = {asset.key: asset for asset in assets.of(me())}
    unknown = {name: "is not the key of one of your files" for name, key in keys.items() if key not in known}
    if unknown:
        raise InvalidParameters(unknown)
    return {name: known[key] for name, key in keys.items()}


def _camel(name: str) -> str:
    return name.title().replace("_", "")


def _fields(card: experiments.Card) -> dict[str, Any]:
    inputs = {
        each.name: fields.text(f"Key of one of your files ({each.kind}). {each.help}", required=each.is_required)
        for each in card.inputs
    }
    seed = fields.whole("The same seed gives the same result; left out: drawn.", 1, low=0, high=1 << 53)
    return {**{each.name: _field(each) for each in describe(card.load().Parameters)}, **inputs, "seed": seed}


def _field(parameter: Parameter) -> Any:
    about, default = parameter.help + (f" In {parameter.unit}." if parameter.unit else ""), parameter.default
    if parameter.type is bool:
        return fields.flag(about, default)
    if parameter.type is str:
        return fields.text(about, default, maximum=100_000, choices=parameter.choices)
    bounds = {"low": parameter.minimum, "high": parameter.maximum}
    if parameter.type is int:
        return fields.whole(about, default, **{side: None if at is None else int(at) for side, at in bounds.items()})
    found = fields.number(about, default)
    found.validators = [*found.validators, validate.Range(min=parameter.minimum, max=parameter.maximum)]
    return found
