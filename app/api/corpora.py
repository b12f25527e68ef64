"""Corpora as WhisperTrace's clients know them: made, pasted, read from a page, listed, read, deleted."""

from typing import Any

from flask import Response

from app.api import jobs as api_jobs
from app.api.assets import mine
from app.api.auth import me
from app.api.blueprint import Resource
from app.api.files import ACCEPTED
from app.api.schemas.lab import JobSchema
from app.api.schemas.whispertrace import CorpusDetailSchema, CorpusSchema, PastedSchema, SyntheticSchema, WebSchema
from app.errors import NotFound
from app.language.templates import SEED
from app.models import Asset
from app.services import assets, corpora, jobs

blueprint = Resource("corpora", "corpora", "Sentences that language models are trained on, with WhisperTrace's names.")
PREVIEW = 240


@blueprint.route("/corpora")
@blueprint.response(200, CorpusSchema(many=True))
def everyone() -> list[dict[str, Any]]:
    """One's own corpora, newest first, without their texts."""
    return [shown(asset) for asset in assets.of(me(), corpora.KIND)]


@blueprint.route("/corpora", methods=["POST"])
@blueprint.arguments(PastedSchema)
@blueprint.response(201, CorpusDetailSchema)
def paste(values: dict[str, Any]) -> dict[str, Any]:
    """Keep one's own sentences; a file goes to /api/assets?kind=corpus."""
    return full(corpora.paste(me(), values.get("name", ""), values["text"]))


@blueprint.route("/corpora/synthetic", methods=["POST"])
@blueprint.arguments(SyntheticSchema)
@blueprint.response(201, CorpusDetailSchema)
def synthetic(values: dict[str, Any]) -> dict[str, Any]:
    """Make sentences of the template."""
    return full(corpora.synthetic(me(), values.get("name", ""), values["n"], values.get("seed", SEED)))


@blueprint.route("/corpora/web", methods=["POST"])
@blueprint.arguments(WebSchema)
@blueprint.response(202, JobSchema, headers=ACCEPTED)
def web(values: dict[str, Any]) -> Any:
    """Read a public page; a worker does it, so follow Location: the corpus is there when the job is done."""
    job = jobs.request(me(), "web-corpus", {"url": values["url"], "name": values.get("name") or "web"}, {})
    return api_jobs.accepted(job)


@blueprint.route("/corpora/<string(maxlength=32):key>")
@blueprint.response(200, CorpusDetailSchema)
def one(key: str) -> dict[str, Any]:
    """One corpus with its text."""
    return full(_mine(key))


@blueprint.route("/corpora/<string(maxlength=32):key>/content")
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
def content(key: str) -> Response:
    """The text of a corpus as a file."""
    asset = _mine(key)
    response = Response(corpora.text(asset), mimetype="text/plain")
    response.headers["Content-Disposition"] = f'attachment; filename="{asset.key}.txt"'
    response.set_etag(asset.digest)
    return response


@blueprint.route("/corpora/<string(maxlength=32):key>", methods=["DELETE"])
@blueprint.response(204)
def remove(key: str) -> None:
    """Take a corpus off one's list; what was trained on it stays."""
    assets.delete(me(), _mine(key))


def _mine(key: str) -> Asset:
    asset = mine(key)
    if asset.kind != corpora.KIND:
        raise NotFound("There is no such corpus.")
    return asset


def shown(asset: Asset) -> dict[str, Any]:
    """A corpus as a list shows it."""
    names = ("key", "name", "version", "status")
    about = {"n": asset.facts.get("n"), "url": asset.facts.get("source") or None}
    return {name: getattr(asset, name) for name in names} | about | {"preview": corpora.preview(asset, PREVIEW)}


def full(asset: Asset) -> dict[str, Any]:
    """A corpus with its text."""
    return shown(asset) | {"content": corpora.text(asset)}
