"""Uploads: all of them, one of them with everything that is known, and evaluating again."""

from flask import flash, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response

from app import tracks
from app.models import Status, UploadKind
from app.services import attacks, defences, rounds, uploads
from app.web.access import me
from app.web.admin import blueprint
from app.web.admin.pages import Page, filtered_round, wanted


@blueprint.get("/admin/uploads", endpoint="uploads")
def everything() -> str:
    """All uploads, newest first, filtered by round, status and kind."""
    row, status, kind = filtered_round(), request.args.get("status", ""), request.args.get("kind", "")
    number = wanted()
    found, total = uploads.everything(number, row=row, status=status, kind=kind)
    return render_template(
        "admin/uploads.html",
        uploads=found,
        page=Page(number, total),
        rounds=rounds.everyone(),
        row=row,
        chosen=status,
        kind=kind,
        statuses=list(Status),
        kinds=list(UploadKind),
    )


@blueprint.get("/admin/uploads/<int:identity>", endpoint="upload")
def one(identity: int) -> str:
    """One upload: reasons, results, our log, tries and times."""
    upload = uploads.one(identity)
    card = tracks.card(upload.round.track)
    return render_template(
        "admin/upload.html",
        upload=upload,
        card=card,
        metric_columns=[(metric.title, "number", metric.help) for metric in card.leakage_metrics],
        defence=defences.of_upload(upload),
        attacks=attacks.of_upload(upload),
        position=uploads.position(upload),
    )


@blueprint.get("/admin/uploads/<int:identity>/file")
def upload_file(identity: int) -> Response:
    """The uploaded file itself, as an attachment."""
    upload = uploads.one(identity)
    # The browser must not open what a stranger has uploaded, whatever it is called.
    return send_file(
        uploads.content(upload),
        mimetype="application/octet-stream",
        as_attachment=True,
        download_name=f"upload_{upload.id}_{upload.filename}",
        max_age=0,
    )


@blueprint.post("/admin/uploads/<int:identity>/reevaluate")
def reevaluate(identity: int) -> Response:
    """Evaluate one upload again."""
    uploads.reevaluate(me(), uploads.one(identity))
    flash(f"Upload {identity} is in the queue again.", "success")
    return redirect(url_for("admin.upload", identity=identity), 303)


@blueprint.post("/admin/rounds/<int:number>/reevaluate/<kind>")
def reevaluate_all(number: int, kind: str) -> Response:
    """Evaluate every finished upload of one kind of a round again."""
    row = rounds.by_number(number)
    count = uploads.reevaluate_all(me(), row, uploads.kind_named(kind))
    flash(f"{count} uploads of round {number} are in the queue again.", "success")
    return redirect(url_for("admin.uploads", round=number, kind=kind), 303)


@blueprint.post("/admin/uploads/<int:identity>/refund")
def refund(identity: int) -> Response:
    """Do not count an upload against its team's limits."""
    uploads.refund(me(), uploads.one(identity))
    flash(f"Upload {identity} does not count against the limits of its team any more.", "success")
    return redirect(url_for("admin.upload", identity=identity), 303)
