"""The house of a round: its undefended reference, and the defences that stand in for teams without one."""

from typing import Any

from flask import current_app, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response
from wtforms import IntegerField
from wtforms.validators import InputRequired, NumberRange
from wtforms.widgets import NumberInput

from app import tracks
from app.models import Round
from app.services import house, rounds
from app.web.access import me
from app.web.admin import blueprint
from app.web.forms import Form
from app.web.forms.uploads import UploadForm


class HouseForm(Form):
    """How many defences the house prepares."""

    count = IntegerField(
        "House defences",
        default=3,
        validators=[InputRequired(), NumberRange(1, 50)],
        widget=NumberInput(min=1, max=50, step=1),
        description="From 1 to 50. Those that are ready already are kept. A worker makes and checks the others, "
        "some seconds each.",
    )


@blueprint.get("/admin/rounds/<int:number>/house", endpoint="house")
def show(number: int) -> tuple[str, int]:
    """What the house has for this round."""
    row = rounds.by_number(number)
    return _page(row, _reference_form(row, formdata=None), HouseForm(formdata=None))


def _page(row: Round, reference: UploadForm, prepare: HouseForm) -> tuple[str, int]:
    page = render_template(
        "admin/house.html",
        row=row,
        card=tracks.card(row.track),
        reference=house.reference(row),
        uploads=house.uploads_of(row),
        ready=len(house.defences(row)),
        names=rounds.track(row).house_defences(),
        reference_form=reference,
        house_form=prepare,
        max_bytes=current_app.config["MAX_CONTENT_LENGTH"],
    )
    return page, max(reference.status, prepare.status)


@blueprint.post("/admin/rounds/<int:number>/house/reference")
def submit_reference(number: int) -> Response | tuple[str, int]:
    """Hand in the undefended reference as a file."""
    row = rounds.by_number(number)
    form = _reference_form(row)
    if form.succeeds(lambda: house.submit_reference(me(), row, form.file.data.stream, form.file.data.filename)):
        flash(f"The reference has been received as upload {form.result.id} and is being checked.", "success")
        return redirect(url_for("admin.house", number=number), 303)
    return _page(row, form, HouseForm(formdata=None))


def _reference_form(row: Round, **options: Any) -> UploadForm:
    return UploadForm(tracks.card(row.track).defence, prefix="reference", **options)


@blueprint.post("/admin/rounds/<int:number>/house/reference/generate")
def prepare_reference(number: int) -> Response:
    """Have the undefended reference made from generated data."""
    house.prepare_reference(me(), rounds.by_number(number))
    flash("A worker makes the reference now. It appears below in a moment.", "success")
    return redirect(url_for("admin.house", number=number), 303)


@blueprint.post("/admin/rounds/<int:number>/house")
def prepare_house(number: int) -> Response | tuple[str, int]:
    """Have house defences made."""
    row, form = rounds.by_number(number), HouseForm()
    if form.succeeds(lambda: house.prepare(me(), row, form.count.data)):
        flash(f"A worker prepares {form.count.data} house defences now. They appear below one by one.", "success")
        return redirect(url_for("admin.house", number=number), 303)
    return _page(row, _reference_form(row, formdata=None), form)
