"""The overview: what needs attention."""

from flask import current_app, render_template

from app.services import overview, rounds
from app.web.admin import blueprint
from app.web.context import current_round


@blueprint.get("/admin/")
def dashboard() -> str:
    """Queues, work, mails, the phase, and how many of everything there are."""
    row = current_round()
    return render_template(
        "admin/dashboard.html",
        overview=overview.now_standing(row),
        row=row,
        timetable=rounds.phase(row) if row else None,
        stale=10 * current_app.config["SWEEP_SECONDS"],
    )
