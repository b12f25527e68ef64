"""The pages of the teaching staff, one file per noun. Looking at one changes nothing; every action is a POST."""

from flask import Blueprint, render_template

from app.errors import Conflict
from app.web.access import admin_required
from app.web.errors import PAGES

blueprint = Blueprint("admin", __name__)


@blueprint.before_request
@admin_required
def only_admins() -> None:
    """The one guard of every page here, so that no page can be added without it."""


@blueprint.errorhandler(Conflict)
def conflict(error: Conflict) -> tuple[str, int]:
    """A button that was right when the page was opened and is not any more."""
    advice = "Go back and reload the page: it shows how things stand now."
    return render_template("errors.html", status=409, title=PAGES[409][0], message=str(error), advice=advice), 409


# The pages register themselves on the blueprint, so it has to exist first.
from app.web.admin import (  # noqa: E402
    audit,
    dashboard,
    exports,
    house,
    mails,
    matches,
    phase,
    references,
    rounds,
    teams,
    uploads,
    users,
)

__all__ = [
    "audit",
    "blueprint",
    "dashboard",
    "exports",
    "house",
    "mails",
    "matches",
    "phase",
    "references",
    "rounds",
    "teams",
    "uploads",
    "users",
]
