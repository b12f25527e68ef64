"""Shapes that only admins see."""

from app.api import fields
from app.api.schemas import FigureSchema, Schema, TeamRefSchema
from app.api.schemas.uploads import KINDS, ReferenceSchema
from app.models import MailStatus

MAIL_STATUSES = tuple(MailStatus)


class PairSchema(Schema):
    """One match that would be made."""

    attacker = fields.nested(TeamRefSchema, "Who attacks.")
    defender = fields.nested(TeamRefSchema, "Whose defence.")
    defence = fields.whole("Id of the upload that is attacked.", 17)


class StandInSchema(Schema):
    """The house in the place of a team."""

    team = fields.nested(TeamRefSchema, "The team without a defence.")
    house = fields.nested(TeamRefSchema, "The team of the house.")


class PlanSchema(Schema):
    """What generating matches would do now."""

    mark = fields.text("Names this plan; send it to generate exactly these matches.", "5d41402abc4b2a76")
    pairs = fields.nested(PairSchema, "All matches.", many=True)
    skipped = fields.nested(TeamRefSchema, "Teams that are left out.", many=True)
    stand_ins = fields.nested(StandInSchema, "Where the house plays.", many=True)


class GenerateSchema(Schema):
    """The confirmation of a plan."""

    mark = fields.text("The mark of the plan that was looked at; another plan now is a conflict.", maximum=64)


class HouseSchema(Schema):
    """How many defences the house prepares."""

    count = fields.whole("Defences; those that are ready are kept.", 3, low=1, high=50, required=True)


class KindSchema(Schema):
    """Which uploads."""

    kind = fields.text("Which kind.", "defence", choices=KINDS, required=True)


class CountSchema(Schema):
    """How many it concerned."""

    count = fields.whole("How many.", 12)


class HouseStateSchema(Schema):
    """What the house has for a round."""

    reference = fields.whole("Id of the upload of the undefended reference.", 3, allow_none=True)
    ready = fields.whole("Accepted defences of the house.", 2)
    names = fields.texts("Defences that the house can play.", ["undefended", "front"])


class SiteSchema(Schema):
    """Switches of the site."""

    registration_open = fields.flag("Whether new people may register.", True)
    team_lock = fields.moment("From when on nobody changes team; null: never.", allow_none=True, validate=fields.TIMES)


class MailFilterSchema(Schema):
    """Which mails."""

    status = fields.text("Only with this status.", "failed", choices=MAIL_STATUSES)


class MailSchema(Schema):
    """A mail in the outbox."""

    id = fields.whole("Id.", 31)
    recipient = fields.text("To whom.", "alice@example.org")
    subject = fields.text("Subject.")
    status = fields.text("Where it is.", "sent", choices=MAIL_STATUSES)
    tries = fields.whole("How often sending was tried.", 1)
    error = fields.text("What went wrong last.")
    created_at = fields.moment("Written at.")
    sent_at = fields.moment("Sent at.", allow_none=True)


class MailDetailSchema(MailSchema):
    """The same with its text."""

    text = fields.text("The text.")


class AuditFilterSchema(Schema):
    """Which entries."""

    action = fields.text("An action or its first word.", "upload", maximum=64)
    search = fields.text("A part of the actor's name or of the subject.", "alice", maximum=64)


class AuditSchema(Schema):
    """Who did what to whom."""

    id = fields.whole("Id.", 99)
    at = fields.moment("When.")
    actor = fields.text("Who; null: nobody or the platform.", "ada", attribute="actor.username", allow_none=True)
    action = fields.text("What.", "round.phase")
    subject = fields.text("To whom.", "round 1")
    details = fields.mapping("How.", {"phase": "attack"})


class SearchSchema(Schema):
    """Which people."""

    search = fields.text("A part of the name, address or student number.", "ali", maximum=64)


class ReferenceRowSchema(ReferenceSchema):
    """A result with its defence and our log."""

    upload = fields.whole("Id of the upload of the defence.", 17, attribute="defence.upload_id")
    team = fields.nested(TeamRefSchema, "Whose defence.", attribute="defence.team")
    round = fields.whole("Number of the round.", 1, attribute="defence.round.number")
    log = fields.text("What went wrong on our side.")


class ReferenceFullSchema(ReferenceRowSchema):
    """The same with its pictures."""

    figures = fields.nested(FigureSchema, "Pictures as data.", many=True)


class OverviewSchema(Schema):
    """How things stand."""

    depths = fields.mapping("Messages in each queue; null when the broker does not answer.", {"checks": 0})
    uploads = fields.mapping("Uploads by status.", {"accepted": 12})
    references = fields.mapping("Results of the house by status.", {"accepted": 80})
    mails = fields.mapping("Mails by status.", {"sent": 44})
    people = fields.whole("People who are no admins.", 24)
    without_team = fields.whole("People in no team.", 1)
    teams = fields.whole("Teams.", 12)
    defending = fields.whole("Teams with an accepted defence in the current round.", 10)
    matches = fields.whole("Matches of the current round.", 36)
    last_sweep = fields.moment("When the sweeper last ran.", allow_none=True)
    sweep_age = fields.number("Seconds since then.", 4.2, allow_none=True)
    registration_open = fields.flag("Whether new people may register.", True)
    team_lock = fields.moment("From when on teams are fixed.", allow_none=True)
