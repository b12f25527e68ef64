"""The phase of a round: now, at a moment, and what was before. Looking at the page changes nothing."""

from datetime import UTC

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response
from wtforms import DateTimeLocalField, RadioField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Optional

from app.errors import Refused
from app.models import Round, now
from app.rules.phases import LABELS, Phase
from app.services import rounds
from app.web.access import me
from app.web.admin import blueprint
from app.web.admin.pages import chosen_round
from app.web.forms import Form

WHEN = [SelectChoice("now", "Now: everybody who plays is told by mail"), SelectChoice("later", "At the moment below")]
EFFECTS = {
    Phase.NONE: "nothing may be uploaded",
    Phase.DEFENCE: "teams upload defences",
    Phase.ATTACK: "teams attack their opponents; needs matches",
    Phase.BOTH: "both at once",
    Phase.FINISHED: "nothing may be uploaded, results are final",
}


class PhaseForm(Form):
    """Which phase, and from when on."""

    phase = RadioField(
        "Phase",
        choices=[SelectChoice(phase.value, f"{LABELS[phase]}: {EFFECTS[phase]}") for phase in Phase],
        validators=[InputRequired("Choose a phase.")],
    )
    when = RadioField("When", choices=WHEN, default="now", validators=[InputRequired("Choose when.")])
    at = DateTimeLocalField("Moment", tz=UTC, validators=[Optional()])


@blueprint.route("/set_phase/", methods=["GET", "POST"], endpoint="phase")
@blueprint.route("/admin/phase", methods=["GET", "POST"], endpoint="phase")
def change() -> Response | tuple[str, int]:
    """Show where a round stands; a POST changes its phase."""
    row = chosen_round()
    if row is None:
        return render_template("admin/no_round.html", title="Phase"), 200
    form = PhaseForm(phase=rounds.phase(row).phase.value)
    if form.succeeds(lambda: _apply(row, form)):
        flash(form.result, "success")
        return redirect(url_for("admin.phase", round=row.number), 303)
    moment = now()
    page = render_template(
        "admin/phase.html",
        row=row,
        form=form,
        timetable=rounds.phase(row, moment),
        scheduled=[change for change in row.changes if change.at > moment],
        history=[change for change in reversed(row.changes) if change.at <= moment],
        rounds=rounds.everyone(),
    )
    return page, form.status


def _apply(row: Round, form: PhaseForm) -> str:
    target = Phase(form.phase.data)
    if form.when.data == "now":
        rounds.set_phase(me(), row, target)
        return f"Round {row.number} is in this phase now: {target.label}."
    if form.at.data is None:
        raise Refused("Enter the moment of the change.")
    rounds.schedule(me(), row, target, form.at.data)
    return f"Round {row.number} changes by itself, {form.at.data:%d %b %Y, %H:%M} UTC: {target.label}."


@blueprint.post("/admin/rounds/<int:number>/unschedule/<int:change_id>")
def unschedule(number: int, change_id: int) -> Response:
    """Take back a change that has not happened yet."""
    rounds.unschedule(me(), rounds.by_number(number), change_id)
    flash("The scheduled change has been taken back.", "success")
    return redirect(url_for("admin.phase", round=number), 303)
