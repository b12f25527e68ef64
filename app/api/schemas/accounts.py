"""Shapes of accounts: registering, confirming an address, passwords, profiles."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from app.api import fields
from app.api.schemas import Schema, TeamRefSchema
from app.services.accounts import SCIPERS

MAX_PASSWORD = 1000
MAX_TOKEN = 2000
SEATS = ("team", "new_team", "invitation")


def _password(description: str, example: str) -> ma.fields.String:
    return fields.text(description, example, maximum=MAX_PASSWORD, required=True)


def _token(description: str) -> ma.fields.String:
    return fields.text(description, maximum=MAX_TOKEN, required=True)


class RegistrationSchema(Schema):
    """A new person; at most one of team, new_team and invitation."""

    username = fields.text("2 to 64 letters, digits, dots, dashes or underscores.", "erin", maximum=64, required=True)
    email = fields.address("E-mail address.", "erin@example.org", required=True)
    password = _password("Password.", "a long enough one")
    sciper = fields.whole("Student number.", 123456, low=SCIPERS.start, high=SCIPERS.stop - 1, required=True)
    team = fields.text("Name of an open team to join.", maximum=40, load_default="")
    new_team = fields.text("Name of a team to found.", maximum=40, load_default="")
    invitation = fields.text("A captain's token.", maximum=MAX_TOKEN, load_default="")

    @ma.validates_schema
    def _one_seat(self, values: Mapping[str, Any], **_: Any) -> None:
        chosen = [name for name in SEATS if values.get(name)]
        if len(chosen) > 1:
            raise ma.ValidationError({name: ["Choose one of team, new_team and invitation."] for name in chosen})


class AccountSchema(Schema):
    """A person who has registered."""

    username = fields.text("Username.", "erin")
    email = fields.text("E-mail address.", "erin@example.org")
    sciper = fields.whole("Student number.", 123456)
    is_confirmed = fields.flag("False: open the link in the mail before you log in.", True)
    team = fields.nested(TeamRefSchema, "The team, if any.", allow_none=True)


class AddressSchema(Schema):
    """Where to send a link."""

    email = fields.address("E-mail address.", "erin@example.org", required=True)


class ConfirmationSchema(Schema):
    """What a confirmation link holds."""

    token = _token("The last part of the link in the mail.")


class NewPasswordSchema(ConfirmationSchema):
    """What a reset link holds, and the new password."""

    password = _password("The new password.", "an even longer one")


class PasswordChangeSchema(Schema):
    """A new password, knowing the current one."""

    current = _password("The current password.", "my password until now")
    password = _password("The new password.", "an even longer one")


class ProfileSchema(Schema):
    """A person as everybody sees them."""

    username = fields.text("Username.", "alice")
    is_admin = fields.flag("Whether this is one of the teaching staff.", False)
    team = fields.nested(TeamRefSchema, "The team, if any.", allow_none=True)
