"""Corpora: one's list, making one, and reading one."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.errors import InvalidParameters, NotFound
from app.models import Asset
from app.services import assets, corpora
from app.web.access import me
from app.web.forms.corpora import PastedForm, SyntheticForm
from app.web.lab import blueprint
from app.web.lab.files import wanted_file

PREVIEW = 240
"""The first characters of a corpus that a list shows."""


@blueprint.route("/corpora/", methods=["GET", "POST"], endpoint="corpora")
def everything() -> Response | tuple[str, int]:
    """One's corpora, and the ways to make another."""
    made = request.form.get("made", "")
    synthetic = SyntheticForm(prefix="synthetic", formdata=request.form if made == "synthetic" else None)
    pasted = PastedForm(prefix="pasted", formdata=request.form if made == "pasted" else None)
    if made == "synthetic" and synthetic.succeeds(
        lambda: corpora.synthetic(me(), synthetic.name.data or "", synthetic.count.data, synthetic.seed.data)
    ):
        return _made(synthetic.result)
    if made == "pasted" and _succeeds(pasted):
        return _made(pasted.result)
    own = [(asset, corpora.preview(asset, PREVIEW)) for asset in assets.of(me(), corpora.KIND)]
    page = render_template("lab/corpora.html", synthetic=synthetic, pasted=pasted, corpora=own)
    return page, max(synthetic.status, pasted.status)


def _succeeds(form: PastedForm) -> bool:
    try:
        return form.succeeds(lambda: corpora.paste(me(), form.name.data or "", form.text.data))
    except InvalidParameters as error:
        form.text.errors = [*form.text.errors, *error.problems["text"].splitlines()]
        form.status = 400
        return False


def _made(asset: Asset) -> Response:
    flash(f"{asset.name}, version {asset.version}, is there.", "success")
    return redirect(url_for("lab.asset", key=asset.key), 303)


@blueprint.get("/files/<key>/text")
def text(key: str) -> Response | str:
    """The whole text of a corpus."""
    asset = wanted_file(key)
    if asset.kind != corpora.KIND:
        raise NotFound("Only a corpus can be read here.")
    return render_template("lab/corpus.html", asset=asset, text=corpora.text(asset))
