"""Registering, logging in, passwords."""

from wtforms import BooleanField, EmailField, IntegerField, PasswordField, SelectField, StringField, ValidationError
from wtforms.validators import DataRequired, Email, EqualTo, InputRequired, Length, NumberRange

from app.models import Team
from app.services.accounts import SCIPERS
from app.web.forms import Form

NO_TEAM, NEW_TEAM = "", "+new"
"""Choices that no team can be called, because a name begins with a letter or a digit."""


class LoginForm(Form):
    """Who logs in."""

    username = StringField(
        "Username or e-mail address",
        [DataRequired("Enter your username or e-mail address."), Length(max=254)],
        render_kw={"autocomplete": "username", "autocapitalize": "none"},
    )
    password = PasswordField(
        "Password", [DataRequired("Enter your password.")], render_kw={"autocomplete": "current-password"}
    )
    remember_me = BooleanField("Remember me on this device")


class EmailForm(Form):
    """Where to send a link."""

    email = EmailField(
        "E-mail address",
        [DataRequired("Enter your e-mail address."), Email("This is not an e-mail address."), Length(max=254)],
        render_kw={"autocomplete": "email"},
    )


class NewPasswordForm(Form):
    """A new password, twice."""

    password = PasswordField(
        "New password", [DataRequired("Choose a password.")], render_kw={"autocomplete": "new-password"}
    )
    password2 = PasswordField(
        "New password again",
        [DataRequired("Type the password again."), EqualTo("password", "The two passwords differ.")],
        render_kw={"autocomplete": "new-password"},
    )


class PasswordForm(NewPasswordForm):
    """A new password, knowing the old one."""

    old_password = PasswordField(
        "Current password",
        [DataRequired("Enter your current password.")],
        render_kw={"autocomplete": "current-password"},
    )


class RegistrationForm(Form):
    """A new person and their team."""

    username = StringField(
        "Username",
        [DataRequired("Choose a username."), Length(max=64)],
        description="Letters, digits, dots, dashes and underscores. Other students see it.",
        render_kw={"autocomplete": "username", "autocapitalize": "none", "maxlength": 64},
    )
    email = EmailField(
        "E-mail address",
        [DataRequired("Enter your e-mail address."), Email("This is not an e-mail address."), Length(max=254)],
        description="Results and announcements go there. Other students do not see it.",
        render_kw={"autocomplete": "email"},
    )
    password = PasswordField(
        "Password", [DataRequired("Choose a password.")], render_kw={"autocomplete": "new-password"}
    )
    password2 = PasswordField(
        "Password again",
        [DataRequired("Type the password again."), EqualTo("password", "The two passwords differ.")],
        render_kw={"autocomplete": "new-password"},
    )
    sciper = IntegerField(
        "Sciper",
        [
            InputRequired("Enter your sciper, a number with six digits."),
            NumberRange(SCIPERS.start, SCIPERS.stop - 1, "A sciper has six digits and does not begin with 0."),
        ],
        description="Your student number, six digits.",
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )
    team_select = SelectField("Team", validate_choice=False, description="You can also found or join a team later.")
    new_team_name = StringField(
        "Name of the new team",
        [Length(max=40)],
        description="Only if you chose “New team”: up to 40 letters, digits, spaces or . _ ' + -.",
        render_kw={"maxlength": 40, "autocomplete": "off"},
    )

    def offer(self, teams: list[Team], minimum: int) -> None:
        """Offer these teams, and say how long a password must be."""
        named = [(team.name, f"Join {team.name}") for team in teams]
        self.team_select.choices = [(NO_TEAM, "No team yet"), (NEW_TEAM, "New team"), *named]
        self.password.description = f"At least {minimum} characters."

    def validate_new_team_name(self, field: StringField) -> None:
        """The name is needed for a new team, and only for that."""
        chosen = self.team_select.data == NEW_TEAM
        if chosen and not (field.data or "").strip():
            raise ValidationError("Give the new team a name.")
        if field.data and not chosen:
            raise ValidationError("To found this team, choose “New team” above; else leave this empty.")
