"""Registering, logging in and out, confirming an address, passwords."""

from flask import Blueprint, current_app, flash, redirect, render_template, request, session, url_for
from flask_login import login_required, login_user, logout_user
from werkzeug.wrappers import Response

from app.errors import Refused
from app.extensions import limiter
from app.models import Team, User
from app.services import accounts, site, teams
from app.web.access import me, safe_next
from app.web.context import person
from app.web.forms.accounts import NEW_TEAM, EmailForm, LoginForm, NewPasswordForm, PasswordForm, RegistrationForm

blueprint = Blueprint("accounts", __name__)
Page = str | tuple[str, int] | Response

_limit_logins = limiter.limit(lambda: current_app.config["LOGIN_RATE_LIMIT"], methods=["POST"])
_limit_registrations = limiter.limit(lambda: current_app.config["REGISTER_RATE_LIMIT"], methods=["POST"])


@blueprint.route("/register", methods=["GET", "POST"])
@_limit_registrations
def register() -> Page:
    """A new person, with or without a team; `?invite=` is a captain's link."""
    if person():
        return redirect(url_for("home.index"), 303)
    token = request.args.get("invite", "")
    host, problem = _host(token)
    form = RegistrationForm()
    form.offer(teams.open_teams(), current_app.config["PASSWORD_MIN_LENGTH"])
    if form.succeeds(lambda: _register(form, token if host else "")):
        flash(_welcome(form.result), "success")
        return redirect(url_for("accounts.login"), 303)
    page = render_template(
        "accounts/register.html",
        form=form,
        host=host,
        problem=problem,
        is_open=site.registration_open(),
        is_locked=site.teams_locked(),
    )
    return page, form.status


def _host(token: str) -> tuple[Team | None, str]:
    """The team that a link invites to, or why it does not."""
    if not token:
        return None, ""
    try:
        return teams.invited_to(token), ""
    except Refused as error:
        return None, str(error)


def _register(form: RegistrationForm, invitation: str) -> User:
    chosen = form.team_select.data or ""
    is_new = chosen == NEW_TEAM and not invitation
    return accounts.register(
        form.username.data,
        form.email.data,
        form.password.data,
        form.sciper.data,
        team="" if is_new or invitation else chosen,
        new_team=form.new_team_name.data if is_new else "",
        invitation=invitation,
    )


def _welcome(user: User) -> str:
    if user.verified_at is None:
        return f"Welcome, {user.username}. We have sent a link to {user.email}: open it to confirm your address."
    return f"Welcome, {user.username}. You can log in now."


@blueprint.route("/login", methods=["GET", "POST"])
@_limit_logins
def login() -> Page:
    """Log in with username or e-mail address; `?next=` is where to go afterwards."""
    if person():
        return redirect(safe_next(url_for("home.index")), 303)
    form = LoginForm()
    if form.succeeds(lambda: accounts.authenticate(form.username.data, form.password.data)):
        # Nothing that was put into the session before belongs to this person.
        session.clear()
        login_user(form.result, remember=form.remember_me.data)
        return redirect(safe_next(url_for("home.index")), 303)
    return render_template("accounts/login.html", form=form), form.status


@blueprint.route("/logout", methods=["GET", "POST"])
def logout() -> Page:
    """Log out by a POST; a GET shows the button, so that a link or a prefetch logs nobody out."""
    if request.method == "POST":
        logout_user()
        flash("You are logged out.", "success")
        return redirect(url_for("home.index"), 303)
    return render_template("accounts/logout.html") if person() else redirect(url_for("home.index"), 303)


@blueprint.route("/verify/<token>", methods=["GET", "POST"])
def verify(token: str) -> Page:
    """Confirm an address by a POST, because mail programs open links to look at them."""
    if request.method == "POST":
        user = accounts.verify(token)
        flash(f"Thank you, {user.username}: your address is confirmed. Log in now.", "success")
        return redirect(url_for("accounts.login"), 303)
    return render_template("accounts/verify.html")


@blueprint.route("/verify", methods=["GET", "POST"])
@_limit_logins
def resend() -> Page:
    """Ask for the confirmation link again."""
    form = EmailForm()
    if form.succeeds(lambda: accounts.resend_verification(form.email.data)):
        flash("If this address waits for confirmation, a new link is on its way.", "info")
        return redirect(url_for("accounts.login"), 303)
    return render_template("accounts/resend.html", form=form), form.status


@blueprint.route("/forgot", methods=["GET", "POST"])
@_limit_logins
def forgot() -> Page:
    """Ask for a link with which to choose a new password."""
    form = EmailForm()
    if form.succeeds(lambda: accounts.request_reset(form.email.data)):
        flash("If this address is registered, a link with which to choose a new password is on its way.", "info")
        return redirect(url_for("accounts.login"), 303)
    return render_template("accounts/forgot.html", form=form, is_on=current_app.config["PASSWORD_RESET"]), form.status


@blueprint.route("/reset/<token>", methods=["GET", "POST"])
@_limit_logins
def reset(token: str) -> Page:
    """Choose a new password by a signed link."""
    owner = accounts.resettable(token)
    form = NewPasswordForm()
    form.password.description = _password_help()
    if form.succeeds(lambda: accounts.reset(token, form.password.data)):
        logout_user()
        flash("Your new password is set. Log in with it.", "success")
        return redirect(url_for("accounts.login"), 303)
    return render_template("accounts/reset.html", form=form, owner=owner), form.status


@blueprint.route("/password", methods=["GET", "POST"])
@login_required
@_limit_logins
def password() -> Page:
    """Change one's password; every other session ends."""
    form = PasswordForm()
    form.password.description = _password_help()
    if form.succeeds(lambda: accounts.change_password(me(), form.old_password.data, form.password.data)):
        login_user(me())
        flash("Your new password is set. You are logged out everywhere else.", "success")
        return redirect(url_for("users.show", name=me().username), 303)
    return render_template("accounts/password.html", form=form), form.status


def _password_help() -> str:
    return f"At least {current_app.config['PASSWORD_MIN_LENGTH']} characters."
