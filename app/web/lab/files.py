"""One's files: the list, uploading, one of them with what its check found, deleting."""

from collections.abc import Mapping
from typing import Any

from flask import current_app, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from app import experiments
from app.errors import NotFound
from app.models import Asset
from app.services import assets
from app.web.access import me
from app.web.forms import Form
from app.web.forms.lab import AssetForm
from app.web.lab import blueprint

SHOWN = 12
"""The most entries of a list among the facts that a page shows."""


@blueprint.get("/files/", endpoint="assets")
def everything() -> tuple[str, int]:
    """One's files, newest first, and the form for another."""
    return _page(AssetForm(formdata=None))


def _page(form: AssetForm) -> tuple[str, int]:
    page = render_template(
        "lab/assets.html",
        form=form,
        assets=assets.of(me()),
        limit=current_app.config["ASSETS_PER_USER"],
        max_bytes=current_app.config["MAX_CONTENT_LENGTH"],
    )
    return page, form.status


@blueprint.post("/files/")
def upload_asset() -> Response | tuple[str, int]:
    """Keep a file; a worker checks it."""
    form = AssetForm()
    if form.succeeds(lambda: assets.submit(me(), form.kind.data, form.file.data.stream, form.file.data.filename)):
        return redirect(url_for("lab.asset", key=form.result.key), 303)
    return _page(form)


@blueprint.get("/files/<key>")
def asset(key: str) -> str:
    """One file."""
    return render_template("lab/asset.html", **_view(key))


@blueprint.get("/files/<key>/live")
def live_asset(key: str) -> str:
    """The part of the page that changes."""
    return render_template("lab/_asset.html", **_view(key))


def _view(key: str) -> dict[str, Any]:
    row = wanted_file(key)
    family = [each for each in assets.of(row.owner, row.kind) if each.name == row.name]
    uses = [(card, each) for card in experiments.CARDS for each in card.inputs if each.kind == row.kind]
    facts = dict(row.facts)
    return {
        "asset": row,
        "versions": family,
        "uses": uses,
        "warnings": facts.pop("warnings", []),
        "facts": [(_title(name), _text(name, value)) for name, value in facts.items() if value not in ([], {}, "")],
    }


def wanted_file(key: str) -> Asset:
    """The file that an address names, if the person may see it."""
    if not (key.isascii() and key.isalnum()):
        # Not every database takes every text.
        raise NotFound("There is no such file.")
    return assets.by_key(key, me())


def _title(name: str) -> str:
    return {"n": "Entries"}.get(name, name.replace("_", " ").capitalize())


def _text(name: str, value: Any) -> str:
    """A fact for readers: shapes with crosses, long lists cut."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    if isinstance(value, list) and name.endswith("shape"):
        return " × ".join("any" if each is None else str(each) for each in value)
    if isinstance(value, list) and name == "range":
        return f"{value[0]:g} to {value[-1]:g}"
    if isinstance(value, Mapping):
        return _listed([f"{key} ({_text('', each)})" for key, each in value.items()])
    return _listed([_text("", each) for each in value]) if isinstance(value, list) else str(value)


def _listed(texts: list[str]) -> str:
    rest = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


@blueprint.post("/files/<key>/delete")
def delete_asset(key: str) -> Response:
    """Take a file off the list."""
    row, form = wanted_file(key), Form()
    if form.succeeds(lambda: assets.delete(me(), row)):
        flash(f"{row.name}, version {row.version}, has been deleted.", "success")
        return redirect(url_for("lab.assets"), 303)
    for problem in form.form_errors:
        flash(problem, "danger")
    return redirect(url_for("lab.asset", key=key), 303)
