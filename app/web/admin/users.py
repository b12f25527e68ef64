"""People: looking them up, editing, resetting, promoting, moving; and whether new ones may register."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import BooleanField, EmailField, IntegerField, SelectField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import Email, InputRequired, Length, NumberRange, Optional

from app.models import User
from app.services import accounts, audit, site, teams
from app.web.access import me
from app.web.admin import blueprint
from app.web.forms import Form


def stripped(text: str | None) -> str | None:
    """A text that was entered without the spaces around it."""
    return text.strip() if text else text


class UserForm(Form):
    """What an admin may change of a person."""

    email = EmailField("E-mail address", filters=[stripped], validators=[InputRequired(), Email(), Length(max=254)])
    sciper = IntegerField(
        "Sciper",
        validators=[Optional(), NumberRange(accounts.SCIPERS.start, accounts.SCIPERS.stop - 1)],
        description="The student number; empty for people who have none.",
    )
    is_admin = BooleanField("Admin", description="Sees and changes everything on these pages.")
    is_active = BooleanField("Active", description="May log in. Taking this away also ends all sessions.")


class TeamForm(Form):
    """Which team a person is put into."""

    team = SelectField("Team", coerce=int, description="The lock date and the team's own choice do not matter here.")

    def offer(self) -> "TeamForm":
        """List every team and the way out."""
        named = [SelectChoice(team.id, team.name) for team in teams.everyone()]
        self.team.choices = [SelectChoice(0, "No team"), *named]
        return self


@blueprint.get("/admin/users", endpoint="users")
def everybody() -> str:
    """All people, or those who match a search."""
    search = request.args.get("q", "").strip()
    return render_template(
        "admin/users.html",
        people=accounts.everybody(search),
        teams=teams.by_person(),
        search=search,
        registration_open=site.registration_open(),
    )


@blueprint.route("/admin/users/<name>", methods=["GET", "POST"], endpoint="user")
def one(name: str) -> Response | tuple[str, int]:
    """One person."""
    user = accounts.named(name)
    form = UserForm(obj=user)
    if form.succeeds(lambda: _edit(user, form)):
        flash(f"{user.username} has been saved.", "success")
        return redirect(url_for("admin.user", name=user.username), 303)
    return _page(user, form, _team_form(user))


def _edit(user: User, form: UserForm) -> None:
    accounts.edit(me(), user, form.email.data, form.sciper.data, form.is_admin.data, form.is_active.data)


def _team_form(user: User) -> TeamForm:
    team = teams.of(user)
    return TeamForm(formdata=None, prefix="move", team=team.id if team else 0).offer()


def _page(user: User, form: UserForm, team_form: TeamForm, link: str = "") -> tuple[str, int]:
    page = render_template(
        "admin/user.html",
        user=user,
        form=form,
        team_form=team_form,
        team=teams.of(user),
        memberships=user.memberships,
        log=audit.about(user),
        reset_link=link,
    )
    return page, max(form.status, team_form.status)


@blueprint.post("/admin/users/<name>/team")
def move_user(name: str) -> Response | tuple[str, int]:
    """Put a person into a team, or take them out."""
    user, form = accounts.named(name), TeamForm(prefix="move").offer()
    if form.succeeds(lambda: _move(user, form.team.data)):
        flash(f"{user.username} is in {form.result} now.", "success")
        return redirect(url_for("admin.user", name=user.username), 303)
    return _page(user, UserForm(formdata=None, obj=user), form)


def _move(user: User, team_id: int) -> str:
    team = teams.by_id(team_id) if team_id else None
    teams.move(me(), user, team)
    return f"team {team.name}" if team else "no team"


@blueprint.post("/admin/users/<name>/reset")
def reset_user(name: str) -> tuple[str, int]:
    """Log a person out everywhere and make a link for a new password, which this one answer shows."""
    user = accounts.named(name)
    token = accounts.admin_reset(me(), user)
    link = url_for("accounts.reset", token=token, _external=True)
    return _page(user, UserForm(formdata=None, obj=user), _team_form(user), link)


@blueprint.post("/admin/users/<name>/promote")
def promote_user(name: str) -> Response:
    """Make a person an admin."""
    user = accounts.named(name)
    accounts.edit(me(), user, user.email, user.sciper, True, user.is_active)
    flash(f"{user.username} is an admin now.", "success")
    return redirect(url_for("admin.user", name=user.username), 303)


@blueprint.post("/admin/registration")
def set_registration() -> Response:
    """Open or lock registration."""
    is_open = request.form.get("open") == "yes"
    site.set_registration_open(me(), is_open)
    flash("Registration is open." if is_open else "Registration is locked: nobody new can register.", "success")
    return redirect(url_for("admin.users"), 303)
