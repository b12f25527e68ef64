"""The audit log."""

from flask import render_template, request

from app.services import audit
from app.web.admin import blueprint
from app.web.admin.pages import Page, wanted


@blueprint.get("/admin/audit", endpoint="audit")
def log() -> str:
    """Who did what, newest first, filtered by action and by a text in actor or subject."""
    action, search, number = request.args.get("action", ""), request.args.get("q", "").strip(), wanted()
    found, total = audit.entries(number, action=action, search=search)
    known = audit.actions()
    return render_template(
        "admin/audit.html",
        entries=found,
        page=Page(number, total),
        action=action,
        search=search,
        actions=known,
        names={name: name for name in known},
    )
