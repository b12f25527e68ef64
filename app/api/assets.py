"""Files of the lab: models and data sets, versioned, checked, each seen by its owner."""

from typing import Any

from flask import url_for

from app.api.auth import me
from app.api.blueprint import Resource
from app.api.files import ACCEPTED, checked
from app.api.schemas.lab import AssetFilterSchema, AssetSchema, KindSchema
from app.api.schemas.uploads import FileSchema
from app.errors import NotFound
from app.experiments.assets import SUFFIXES
from app.models import Asset
from app.services import assets

blueprint = Resource("assets", "lab files", "The files that experiments work on.")
COLUMNS = (
    *("key", "kind", "name", "version", "status", "size", "digest", "facts", "reasons"),
    *("created_at", "finished_at"),
)


@blueprint.route("/assets", methods=["POST"])
@blueprint.arguments(KindSchema, location="query")
@blueprint.arguments(FileSchema, location="files")
@blueprint.response(202, AssetSchema, headers=ACCEPTED)
def create(values: dict[str, str], files: dict[str, Any]) -> Any:
    """Keep a file of a kind; it is checked later, so follow Location."""
    kind, file = values["kind"], files["file"]
    asset = assets.submit(me(), kind, file.stream, checked(file, SUFFIXES[kind]))
    return shown(asset), 202, {"Location": url_for("api.assets.one", key=asset.key), "Retry-After": "1"}


@blueprint.route("/assets")
@blueprint.arguments(AssetFilterSchema, location="query")
@blueprint.response(200, AssetSchema(many=True))
def everyone(filters: dict[str, Any]) -> list[dict[str, Any]]:
    """One's own files, newest first."""
    return [shown(asset) for asset in assets.of(me(), filters.get("kind", ""))]


@blueprint.route("/assets/<string(maxlength=32):key>")
@blueprint.response(200, AssetSchema)
def one(key: str) -> dict[str, Any]:
    """One file: how far its check is, what it holds, or every reason against it."""
    return shown(mine(key))


@blueprint.route("/assets/<string(maxlength=32):key>", methods=["DELETE"])
@blueprint.response(204)
def remove(key: str) -> None:
    """Take a file off one's list; jobs that used it keep their results."""
    assets.delete(me(), mine(key))


def mine(key: str) -> Asset:
    """One's own file."""
    if not is_key(key):
        raise NotFound("There is no such file.")
    return assets.by_key(key, me())


def is_key(text: str) -> bool:
    """Whether a text can be the key of anything; not every database takes every text."""
    return text.isascii() and text.isalnum()


def shown(asset: Asset) -> dict[str, Any]:
    """A file as its schema reads it."""
    return {name: getattr(asset, name) for name in COLUMNS} | {"is_final": asset.status.final}
