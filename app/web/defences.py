"""Handing in a defence."""

import os

from flask import Blueprint, current_app, flash, redirect, render_template, send_file, url_for
from flask_login import login_required
from werkzeug.wrappers import Response

from app import tracks
from app.models import UploadKind
from app.services import defences, issues, rounds, uploads
from app.web.access import me
from app.web.context import team
from app.web.forms.uploads import UploadForm

blueprint = Blueprint("defences", __name__)


@blueprint.route("/defence/", methods=["GET", "POST"])
@login_required
def form() -> tuple[str, int] | Response:
    """The upload form of the current round, with what the team handed in before."""
    row = rounds.by_number(None)
    card = tracks.card(row.track)
    sent = UploadForm(card.defence)
    if sent.succeeds(lambda: defences.submit(me(), sent.file.data.stream, sent.file.data.filename)):
        flash("Defence received. You can leave this page: the result also comes by e-mail.", "success")
        return redirect(url_for("uploads.show", identity=sent.result.id), 303)
    mine = team()
    page = render_template(
        "defences/form.html",
        form=sent,
        row=row,
        card=card,
        rules=rounds.rules(row),
        own_settings=rounds.own_settings(row),
        left=uploads.remaining(mine, row, UploadKind.DEFENCE) if mine else 0,
        history=uploads.of_team(mine, row, UploadKind.DEFENCE) if mine else [],
        max_bytes=current_app.config["MAX_CONTENT_LENGTH"],
    )
    return page, sent.status


@blueprint.get("/defence/files")
@login_required
def issued() -> Response:
    """What the current round issued to the team of the person who asks, as one zip."""
    stream, name = issues.download(me(), rounds.by_number(None))
    response = send_file(stream, "application/zip", as_attachment=True, download_name=name)
    response.content_length = os.fstat(stream.fileno()).st_size
    return response
