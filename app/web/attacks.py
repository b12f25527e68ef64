"""Downloading what is to be attacked, and handing in an attack."""

import os

from flask import Blueprint, current_app, flash, redirect, render_template, request, send_file, url_for
from flask_login import login_required
from werkzeug.wrappers import Response

from app import tracks
from app.models import UploadKind
from app.services import attacks, files, matches, rounds, uploads
from app.web.access import me
from app.web.context import team
from app.web.forms.uploads import UploadForm

blueprint = Blueprint("attacks", __name__)


@blueprint.route("/attack/", methods=["GET", "POST"])
@login_required
def form() -> tuple[str, int] | Response:
    """The opponents of the current round and the upload form; `?download=1` is the download's earlier address."""
    if request.method == "GET" and request.args.get("download", "").lower() in {"1", "true", "yes"}:
        return redirect(url_for("attacks.download"))
    row = rounds.by_number(None)
    card = tracks.card(row.track)
    sent = UploadForm(card.answer)
    if sent.succeeds(lambda: attacks.submit(me(), sent.file.data.stream, sent.file.data.filename)):
        flash("Attack received. You can leave this page: the result also comes by e-mail.", "success")
        return redirect(url_for("uploads.show", identity=sent.result.id), 303)
    mine = team()
    found = matches.of_attacker(mine, row) if mine else []
    counted = attacks.counted(found, row)
    page = render_template(
        "attacks/form.html",
        form=sent,
        row=row,
        card=card,
        rules=rounds.rules(row),
        own_settings=rounds.own_settings(row),
        matches=found,
        results={identity: attacks.shown(attack, row) for identity, attack in counted.items()},
        left=uploads.remaining(mine, row, UploadKind.ATTACK) if mine else 0,
        history=uploads.of_team(mine, row, UploadKind.ATTACK) if mine else [],
        max_bytes=current_app.config["MAX_CONTENT_LENGTH"],
    )
    return page, sent.status


@blueprint.get("/attack/download")
@login_required
def download() -> Response:
    """One zip with the challenges of all opponents."""
    with files.workspace() as folder:
        path = folder / "sets.zip"
        name = attacks.download(me(), path)
        # An open file outlives its name: nothing is left behind once it is sent.
        stream = path.open("rb")
    response = send_file(stream, "application/zip", as_attachment=True, download_name=name)
    response.content_length = os.fstat(stream.fileno()).st_size
    return response
