"""Shapes of uploads, defences, attacks and matches."""

import marshmallow as ma
from flask_smorest.fields import Upload as FileField
from marshmallow import validate

from app.api import fields
from app.api.schemas import FigureSchema, Schema, TeamRefSchema, metrics
from app.models import Status, UploadKind

STATUSES, KINDS = tuple(Status), tuple(UploadKind)


class FileSchema(Schema):
    """A file, as a form sends it."""

    file = FileField(required=True, metadata={"description": "The file, as the track's rules describe it."})


class KeySchema(Schema):
    """The name under which an upload is sent once only."""

    idempotency_key = ma.fields.String(
        data_key="Idempotency-Key",
        validate=[validate.Length(min=1, max=255), validate.Regexp(r"[!-~]+\Z", error="Printable ASCII, please.")],
        metadata={
            "description": "A name of your choice for this upload. The same file sent again under it, perhaps because "
            "no answer came, is the upload that is there already; another file under it is a conflict.",
            "examples": ["6f0c5e3a-round-1-defence-2"],
        },
    )


class ReasonSchema(Schema):
    """One rule that a file breaks."""

    rule = fields.text("The rule, with its bounds.", "A capture has at least 10 packets.")
    where = fields.text("The first places that break it.", "line 17")
    fix = fields.text("What to change.")
    count = fields.whole("How many places break it.", 3)


class UploadSchema(Schema):
    """An uploaded file and how far its evaluation is."""

    id = fields.whole("Id, which addresses use.", 17)
    kind = fields.text("What it is.", "defence", choices=KINDS)
    status = fields.text("How far it is.", "queued", choices=STATUSES)
    is_final = fields.flag("Whether nothing more will happen by itself.", False)
    position = fields.whole("Place in the queue, 1 = next; 0 when it does not wait.", 2)
    progress = fields.number("Share of the evaluation that is done.", 0.0)
    reasons = fields.nested(ReasonSchema, "Why it was rejected: every reason at once.", many=True)
    round = fields.whole("Number of the round.", 1, attribute="round.number")
    team = fields.nested(TeamRefSchema, "Whose it is.")
    filename = fields.text("As it was sent.", "defence.csv.zip")
    size = fields.whole("Bytes.", 1_234_567)
    digest = fields.text("SHA-256 of the file.")
    is_refunded = fields.flag("Does not count against the limits.", False)
    created_at = fields.moment("Received at.")
    started_at = fields.moment("Evaluation started at.", allow_none=True)
    finished_at = fields.moment("Evaluation finished at.", allow_none=True)


class ReferenceSchema(Schema):
    """What one adversary of the house reaches against a defence."""

    id = fields.whole("Id.", 5)
    adversary = fields.text("Its slug.", "random-forest")
    status = fields.text("How far it is.", "accepted", choices=STATUSES)
    progress = fields.number("Share that is done.", 1.0)
    leakage = fields.number("0 = a blind guess, 1 = everything.", 0.31, allow_none=True)
    metrics = metrics("The track's leakage metrics.")
    seconds = fields.number("How long it took.", 12.5, allow_none=True)
    device = fields.text("What it ran on.", "cpu")


class ReferenceDetailSchema(ReferenceSchema):
    """The same with its pictures."""

    figures = fields.nested(FigureSchema, "Pictures as data.", many=True)


class PressureSchema(Schema):
    """What other teams' counted attacks reach, without saying who reached what."""

    matches = fields.whole("Teams that may attack.", 3)
    attacked = fields.whole("Teams that did.", 2)
    best = fields.number("Largest leakage.", 0.4, allow_none=True)
    mean = fields.number("Mean leakage.", 0.3, allow_none=True)


class MeasuredSchema(Schema):
    """What an accepted defence is worth."""

    utility = fields.number("1 = as good as undefended.", 0.83)
    classic = fields.number("Utility on the classic scale of 0 to 10.", 7.4)
    metrics = metrics("The track's utility metrics.")
    figures = fields.nested(FigureSchema, "Pictures as data.", many=True)
    references = fields.nested(ReferenceSchema, "The house's adversaries.", many=True)
    is_counted = fields.flag("Whether it is the version that counts.", True)
    pressure = fields.nested(PressureSchema, "Other teams' attacks, for the version that counts.", allow_none=True)


class DefenceSchema(UploadSchema):
    """An uploaded defence with its result."""

    result = fields.nested(MeasuredSchema, "Once it is accepted.", allow_none=True)


class MatchSchema(Schema):
    """Who attacks whom."""

    id = fields.whole("Id.", 9)
    round = fields.whole("Number of the round.", 1)
    attacker = fields.nested(TeamRefSchema, "Who attacks.")
    defender = fields.nested(TeamRefSchema, "Whose defence is attacked.")
    is_attacked = fields.flag("Whether there is an accepted attack.", True)


class LeakageSchema(Schema):
    """What an attack reaches in one match."""

    match = fields.whole("Id of the match.", 9)
    defender = fields.nested(TeamRefSchema, "Whose defence.")
    leakage = fields.number("0 = a blind guess, 1 = everything; perhaps rounded.", 0.5)
    metrics = metrics("The track's leakage metrics; perhaps rounded.")


class AttackSchema(UploadSchema):
    """An uploaded attack with its results."""

    chosen_at = fields.moment("When the team chose it to count.", allow_none=True)
    results = fields.nested(LeakageSchema, "One per match, once it is accepted.", many=True)


class AdminUploadSchema(UploadSchema):
    """An upload with what only admins see."""

    username = fields.text("Who sent it.", "alice", attribute="user.username", allow_none=True)
    tries = fields.whole("How often its evaluation was started.", 1)
    log = fields.text("What went wrong on our side.")


class RoundFilterSchema(Schema):
    """Which round."""

    round = fields.whole("Number of the round; left out: the current one.", 1, low=0, high=(1 << 31) - 1, strict=False)


class UploadFilterSchema(RoundFilterSchema):
    """Which uploads."""

    status = fields.text("Only with this status.", "failed", choices=STATUSES)
    kind = fields.text("Only of this kind.", "defence", choices=KINDS)


class StatusFilterSchema(RoundFilterSchema):
    """Which results."""

    status = fields.text("Only with this status.", "failed", choices=STATUSES)
