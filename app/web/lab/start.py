"""What can be run, and the form of an experiment."""

from typing import Any

from flask import current_app, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app import experiments
from app.errors import NotFound
from app.experiments.base import Card, Input
from app.models import Job
from app.parameters import describe
from app.services import assets, jobs
from app.web.access import me
from app.web.forms import parameters
from app.web.forms.lab import AssetForm, RunForms, SeedForm, files_form
from app.web.lab import blueprint

LATEST = 5


@blueprint.get("/")
def index() -> str:
    """What can be run, and one's latest files and jobs."""
    own, (latest, total) = assets.of(me()), jobs.of(me(), size=LATEST)
    return render_template(
        "lab/index.html", cards=experiments.CARDS, assets=own[:LATEST], files=len(own), jobs=latest, total=total
    )


@blueprint.route("/experiments/<slug>", methods=["GET", "POST"])
def experiment(slug: str) -> Response | tuple[str, int]:
    """What an experiment does, and the form that runs it."""
    card = _card(slug)
    forms = _forms(card)
    if forms.succeed(lambda: _request(card, forms)):
        flash("Your job is in the queue. You can leave this page and come back to it.", "success")
        return redirect(url_for("lab.job", key=forms.base.result.key), 303)
    blocks = [_block(card, wanted, forms.files[wanted.name]) for wanted in card.inputs]
    page = render_template("lab/experiment.html", card=card, forms_=forms, blocks=blocks)
    return page, forms.base.status


def _card(slug: str) -> Card:
    card = {card.slug: card for card in experiments.CARDS}.get(slug)
    if card is None:
        raise NotFound("There is no such experiment.")
    return card


def _forms(card: Card) -> RunForms:
    chosen = card.load()
    data = request.form if request.method == "POST" else None
    return RunForms(
        SeedForm(),
        files_form(card.inputs, assets.of(me()), data, _wanted(card)),
        parameters.form(describe(chosen.Parameters), "parameters", data),
        chosen.layout,
    )


def _wanted(card: Card) -> dict[str, str]:
    """The keys of files that the address names."""
    return {wanted.name: request.args[wanted.name] for wanted in card.inputs if wanted.name in request.args}


def _request(card: Card, forms: RunForms) -> Job:
    own = {asset.key: asset for asset in assets.of(me())}
    inputs = {name: own[key] for name, key in forms.files.chosen().items()}
    return jobs.request(me(), card.slug, forms.parameters.values(), inputs, forms.base.seed.data)


@blueprint.route("/experiments/<slug>/inputs/<name>", methods=["GET", "POST"], endpoint="input")
def choose(slug: str, name: str) -> Response | str:
    """One input: the choice among one's files, and the upload of a new one, without losing what was entered."""
    card = _card(slug)
    wanted = next((each for each in card.inputs if each.name == name), None)
    if wanted is None:
        raise NotFound("This experiment has no such input.")
    form = _asset_form(wanted)
    if form.succeeds(lambda: assets.submit(me(), wanted.kind, form.file.data.stream, form.file.data.filename)):
        form = _asset_form(wanted, formdata=None)
    if "HX-Request" not in request.headers:
        # A browser without scripts gets the whole page again.
        for problem in [*form.form_errors, *form.file.errors]:
            flash(problem, "danger")
        return redirect(url_for("lab.experiment", slug=slug), 303)
    # htmx shows only answers that succeed, so a refusal comes as one, with its words in the form.
    return render_template("lab/_input.html", card=card, **_block(card, wanted, form=form))


def _asset_form(wanted: Input, **options: Any) -> AssetForm:
    return AssetForm((wanted.kind,), prefix=f"new-{wanted.name}", **options)


def _block(card: Card, wanted: Input, field: Any = None, form: AssetForm | None = None) -> dict[str, Any]:
    """What the block of one input shows. A file that has just passed its check becomes the chosen one."""
    own = assets.of(me(), wanted.kind)
    newest = own[0] if own else None
    if field is None:
        chosen = request.values.get(f"inputs-{wanted.name}", "")
        if newest and newest.key == request.args.get("awaited") and newest.status.final:
            chosen = newest.key
        field = files_form((wanted,), own, chosen={wanted.name: chosen} if chosen else None)[wanted.name]
    return {
        "wanted": wanted,
        "field": field,
        "form": form or _asset_form(wanted, formdata=None),
        "newest": newest,
        "max_bytes": current_app.config["MAX_CONTENT_LENGTH"],
    }
