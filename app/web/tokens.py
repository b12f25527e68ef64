"""One's own tokens for programs: making, listing, revoking."""

from flask import Blueprint, current_app, flash, redirect, render_template, url_for
from flask_login import login_required
from werkzeug.wrappers import Response

from app.models import ApiToken
from app.services import tokens
from app.web.access import me
from app.web.forms.tokens import TokenForm

blueprint = Blueprint("tokens", __name__, url_prefix="/tokens")


@blueprint.route("/", methods=["GET", "POST"])
@login_required
def show() -> tuple[str, int]:
    """One's tokens and the form for a new one; the answer to the form is the only page that shows its secret."""
    form = _form()
    made: tuple[ApiToken, str] | None = None
    if form.succeeds(lambda: tokens.create(me(), form.name.data, form.scopes(), form.days.data)):
        made = form.result
        form = _form(formdata=None)
    page = render_template(
        "tokens/show.html",
        form=form,
        made=made[0] if made else None,
        secret=made[1] if made else "",
        tokens=[(token, tokens.is_valid(token)) for token in tokens.of(me())],
        address=current_app.config["PUBLIC_URL"],
    )
    return page, form.status


def _form(**options: object) -> TokenForm:
    form = TokenForm(**options)
    if not me().is_admin:
        del form.admin
    return form


@blueprint.post("/<int:identity>/revoke")
@login_required
def revoke(identity: int) -> Response:
    """End a token."""
    token = tokens.one(me(), identity)
    tokens.revoke(me(), token)
    flash(f"The token {token.name} is revoked.", "success")
    return redirect(url_for("tokens.show"), 303)
