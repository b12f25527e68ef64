"""Shapes of people and teams."""

from app.api import fields
from app.api.schemas import Schema, TeamRefSchema
from app.services.tokens import MAX_DAYS, Scope

SCOPES = tuple(Scope)


class TeamSchema(TeamRefSchema):
    """A team."""

    is_house = fields.flag("Whether the house plays it.", False)
    is_open = fields.flag("Whether anybody may join while there is a seat.", True)
    members = fields.texts("Usernames, the captain first.", ["alice", "bob"])


class MembershipSchema(Schema):
    """One person's time in the team."""

    username = fields.text("Who.", "alice")
    joined_at = fields.moment("Since when.")
    left_at = fields.moment("Until when; null: still.", allow_none=True)


class TeamDetailSchema(TeamSchema):
    """A team; history and invitation are for itself and for admins."""

    history = fields.nested(MembershipSchema, "Everybody who ever was in it.", many=True)
    invitation = fields.text("The captain's token with which somebody can join.", allow_none=True)
    invitation_link = fields.text("The same as a link to send.", "https://srs.example.org/team/join/…")


class PastTeamSchema(Schema):
    """One's own time in a team."""

    team = fields.nested(TeamRefSchema, "Which team.")
    joined_at = fields.moment("Since when.")
    left_at = fields.moment("Until when; null: still.", allow_none=True)


class NewTeamSchema(Schema):
    """A new team."""

    name = fields.text("Up to 40 letters, digits, spaces or . _ ' + -.", "Red", maximum=64, required=True)


class OpenSchema(Schema):
    """Whether anybody may join."""

    is_open = fields.flag("True: anybody, while there is a seat. False: by invitation.", False, required=True)


class InvitationSchema(Schema):
    """An invitation."""

    invitation = fields.text("The captain's token.", maximum=2000, required=True)


class TokenSchema(Schema):
    """A token, without its secret."""

    id = fields.whole("Id.", 4)
    name = fields.text("What its owner calls it.", "laptop")
    prefix = fields.text("How its secret begins.", "srs_Zk3vQ9aB")
    scopes = fields.texts("What it may do.", ["read", "upload"], SCOPES)
    is_valid = fields.flag("Whether it still opens anything.", True)
    created_at = fields.moment("Made at.")
    expires_at = fields.moment("Valid until.")
    revoked_at = fields.moment("Revoked at.", allow_none=True)
    last_used_at = fields.moment("Last used at, to the minute.", allow_none=True)


class NewTokenSchema(Schema):
    """Who makes a token, and for what."""

    username = fields.text("Username or e-mail address.", "alice", maximum=254, required=True)
    password = fields.text("Password.", "correct horse battery", maximum=1024, required=True)
    name = fields.text("By which you know it again.", "laptop", maximum=80, load_default="srs_client")
    scopes = fields.texts("What it may do.", ["read", "upload"], SCOPES, load_default=["read", "upload"])
    days = fields.whole("How long it is valid.", 90, low=1, high=MAX_DAYS, load_default=90)


class MadeTokenSchema(TokenSchema):
    """A new token with its secret, shown this once."""

    secret = fields.text("Send it as 'Authorization: Bearer …'.", "srs_Zk3vQ9aB…")


class LeftSchema(Schema):
    """Uploads that are left in the current round."""

    defence = fields.whole("Defences.", 19)
    attack = fields.whole("Attacks.", 20)


class MeSchema(Schema):
    """Who asks."""

    username = fields.text("Username.", "alice")
    email = fields.text("E-mail address.", "alice@example.org")
    sciper = fields.whole("Student number.", 123456, allow_none=True)
    is_admin = fields.flag("Whether this is an admin.", False)
    created_at = fields.moment("Registered at.")
    team = fields.nested(TeamRefSchema, "The team, if any.", allow_none=True)
    memberships = fields.nested(PastTeamSchema, "Teams so far.", many=True)
    token = fields.nested(TokenSchema, "The token that was sent, if any.", allow_none=True)
    uploads_left = fields.nested(LeftSchema, "In the current round; null without team or round.", allow_none=True)


class UserSchema(Schema):
    """A person as admins see them."""

    username = fields.text("Username.", "alice")
    email = fields.text("E-mail address.", "alice@example.org")
    sciper = fields.whole("Student number.", 123456, allow_none=True)
    is_admin = fields.flag("Admin.", False)
    is_active = fields.flag("May log in.", True)
    created_at = fields.moment("Registered at.")
    verified_at = fields.moment("E-mail address confirmed at.", allow_none=True)
    team = fields.nested(TeamRefSchema, "The team, if any.", allow_none=True)


class UserEditSchema(Schema):
    """Changes of a person; what is left out stays."""

    email = fields.address("E-mail address.", "a@example.org")
    sciper = fields.whole("Student number.", 123456, low=100_000, high=999_999, allow_none=True)
    is_admin = fields.flag("Admin.", False)
    is_active = fields.flag("May log in.", True)


class SeatSchema(Schema):
    """Which team a person is put into."""

    team_id = fields.whole("Id of the team; null: none.", 3, low=1, high=(1 << 31) - 1, allow_none=True, required=True)


class ResetSchema(Schema):
    """A link with which a person chooses a new password."""

    link = fields.text("It is also mailed to the person.", "https://srs.example.org/reset/…")
