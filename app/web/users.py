"""Profiles."""

from flask import Blueprint, render_template
from flask_login import login_required

from app.services import accounts, site, teams
from app.web.access import me

blueprint = Blueprint("users", __name__)


@blueprint.get("/user/<name>")
@login_required
def show(name: str) -> str:
    """One's own profile; of others, name and team only."""
    user = accounts.named(name)
    return render_template(
        "users/show.html",
        user=user,
        team=teams.of(user),
        is_mine=user.id == me().id,
        sees_all=user.id == me().id or me().is_admin,
        is_locked=site.teams_locked(),
        memberships=user.memberships,
    )
