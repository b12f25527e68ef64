"""Results of the house's adversaries, their logs, and playing them again."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.models import Status
from app.services import defences, references, rounds, uploads
from app.web.access import me
from app.web.admin import blueprint
from app.web.admin.pages import Page, filtered_round, wanted


@blueprint.get("/admin/references", endpoint="references")
def everything() -> str:
    """All reference results, newest first."""
    row, status, number = filtered_round(), request.args.get("status", ""), wanted()
    found, total = references.everything(number, row=row, status=status)
    return render_template(
        "admin/references.html",
        results=found,
        page=Page(number, total),
        rounds=rounds.everyone(),
        row=row,
        chosen=status,
        statuses=[status for status in Status if status is not Status.REJECTED],
    )


@blueprint.get("/admin/references/<int:identity>", endpoint="reference")
def one(identity: int) -> str:
    """One result with our log."""
    result = references.one(identity)
    return render_template("admin/reference.html", result=result, upload=result.defence.upload)


@blueprint.post("/admin/references/<int:identity>/again")
def requeue_reference(identity: int) -> Response:
    """Play one adversary again."""
    references.requeue(me(), [references.one(identity)])
    flash("The adversary is in the queue again.", "success")
    return redirect(url_for("admin.reference", identity=identity), 303)


@blueprint.post("/admin/references/failed")
def requeue_failed_references() -> Response:
    """Play every adversary again that failed."""
    count = references.requeue(me(), references.failed())
    flash(f"{count} failed results are in the queue again.", "success")
    return redirect(url_for("admin.references"), 303)


@blueprint.post("/admin/uploads/<int:identity>/adversaries")
def play_again(identity: int) -> Response:
    """Play every adversary of the house again on the defence of an upload."""
    defence = defences.of_upload(uploads.one(identity))
    if defence is None:
        flash("This upload has not become a defence, so there is nothing to play on.", "warning")
    else:
        references.play_again(me(), defence)
        flash("Every adversary of the house plays on this defence again.", "success")
    return redirect(url_for("admin.upload", identity=identity), 303)
