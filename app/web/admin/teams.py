"""Teams: who is in them, renaming, and the date from which on they are fixed."""

from datetime import UTC

from flask import current_app, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response
from wtforms import DateTimeLocalField, StringField
from wtforms.validators import InputRequired, Length, Optional

from app.services import site, teams
from app.web.access import me
from app.web.admin import blueprint
from app.web.forms import Form


class RenameForm(Form):
    """A team's new name."""

    name = StringField("Name", validators=[InputRequired(), Length(max=40)])


class LockForm(Form):
    """From when on teams are fixed."""

    at = DateTimeLocalField(
        "Teams are fixed from",
        tz=UTC,
        validators=[Optional()],
        description="From then on only admins move people between teams. Empty: teams stay open.",
    )


@blueprint.get("/admin/teams", endpoint="teams")
def everyone() -> tuple[str, int]:
    """All teams with their members."""
    return _page(LockForm(formdata=None, at=site.team_lock()))


def _page(form: LockForm) -> tuple[str, int]:
    page = render_template(
        "admin/teams.html",
        teams=teams.everyone(with_house=True),
        members=teams.rosters(),
        loners=teams.without_team(),
        seats=current_app.config["MAX_TEAM_SIZE"],
        form=form,
        lock=site.team_lock(),
        is_locked=site.teams_locked(),
    )
    return page, form.status


@blueprint.post("/admin/teams/lock")
def lock_teams() -> Response | tuple[str, int]:
    """Set or clear the date from which on nobody changes team."""
    form = LockForm()
    if form.succeeds(lambda: site.set_team_lock(me(), form.at.data)):
        said = f"Teams are fixed from {form.at.data:%d %b %Y, %H:%M} UTC on." if form.at.data else "Teams stay open."
        flash(said, "success")
        return redirect(url_for("admin.teams"), 303)
    return _page(form)


@blueprint.route("/admin/teams/<int:identity>", methods=["GET", "POST"], endpoint="team")
def one(identity: int) -> Response | tuple[str, int]:
    """One team: its name, its members and its history."""
    row = teams.by_id(identity)
    form = RenameForm(name=row.name)
    old = row.name
    if form.succeeds(lambda: teams.rename(me(), row, form.name.data)):
        flash(f"Team {old} is called {row.name} now.", "success")
        return redirect(url_for("admin.team", identity=identity), 303)
    page = render_template(
        "admin/team.html", row=row, form=form, members=teams.members(row), history=teams.history(row)
    )
    return page, form.status


@blueprint.post("/admin/teams/<int:identity>/remove/<int:user_id>")
def remove_member(identity: int, user_id: int) -> Response:
    """Take a member out of a team."""
    row = teams.by_id(identity)
    member = next((user for user in teams.members(row) if user.id == user_id), None)
    if member:
        teams.move(me(), member, None)
        flash(f"{member.username} is not in team {row.name} any more.", "success")
    else:
        flash(f"This person was not in team {row.name} any more; nothing was changed.", "warning")
    return redirect(url_for("admin.team", identity=identity), 303)
