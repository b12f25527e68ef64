"""One uploaded file: what became of it."""

import os
from typing import Any

from flask import Blueprint, flash, redirect, render_template, send_file, url_for
from flask_login import login_required
from werkzeug.wrappers import Response

from app import tracks
from app.models import Status, Upload, UploadKind
from app.services import attacks, defences, rounds, uploads
from app.web.access import me
from app.web.figures import drawings

blueprint = Blueprint("uploads", __name__, url_prefix="/upload")


@blueprint.get("/<int:identity>")
@login_required
def show(identity: int) -> str:
    """The state of one's own upload, its reasons and its results."""
    return render_template("uploads/show.html", **_view(identity))


@blueprint.get("/<int:identity>/live")
@login_required
def live(identity: int) -> str:
    """The part of the page that changes."""
    return render_template("uploads/_live.html", **_view(identity))


def _view(identity: int) -> dict[str, Any]:
    upload = uploads.one(identity, me())
    return {
        "upload": upload,
        "card": tracks.card(upload.round.track),
        "position": uploads.position(upload),
        **_results(upload),
    }


def _results(upload: Upload) -> dict[str, Any]:
    """What an accepted file was worth."""
    if upload.status is not Status.ACCEPTED:
        return {}
    if upload.kind is UploadKind.ATTACK:
        parts = attacks.of_upload(upload)
        rules = rounds.rules(upload.round)
        is_choosing = rules.counted_attack == "selected" and rounds.phase(upload.round).phase.attack_open
        return {
            "parts": [(part.match, attacks.shown(part, upload.round)) for part in parts],
            "pictures": [(part.match, drawings(part.figures)) for part in parts if part.figures],
            "feedback_step": rules.feedback_step,
            "can_choose": is_choosing,
        }
    defence = defences.of_upload(upload)
    return {"defence": defence, "drawings": drawings(defence.figures) if defence else []}


@blueprint.get("/<int:identity>/file")
@login_required
def file(identity: int) -> Response:
    """The file as it was handed in."""
    upload = uploads.one(identity, me())
    stream = uploads.content(upload)
    response = send_file(stream, "application/zip", as_attachment=True, download_name=upload.filename)
    response.content_length = os.fstat(stream.fileno()).st_size
    return response


@blueprint.post("/<int:identity>/choose")
@login_required
def choose(identity: int) -> Response:
    """Say that this attack counts."""
    upload = uploads.one(identity, me())
    attacks.choose(me(), upload)
    flash(f"Attack {upload.id} counts now.", "success")
    return redirect(url_for("teams.show", name=upload.team.name, _anchor="attacks"), 303)
