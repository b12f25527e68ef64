"""Shapes of rounds and their phases."""

from app import tracks
from app.api import fields
from app.api.schemas import Schema
from app.rules.phases import Phase

PHASES = tuple(Phase)
MAX_SEED = (1 << 62) - 1
TRACKS = tuple(card.slug for card in tracks.CARDS)


class ChangeSchema(Schema):
    """From a moment on, a phase holds."""

    id = fields.whole("Id of the change.", 12)
    phase = fields.text("The phase from then on.", "attack", choices=PHASES)
    at = fields.moment("The moment.")


class PhaseSchema(Schema):
    """Where a round stands now."""

    name = fields.text("The phase.", "defence", choices=PHASES)
    label = fields.text("The phase as people read it.", "Defence phase")
    defence_open = fields.flag("Whether defences may be uploaded.", True)
    attack_open = fields.flag("Whether attacks may be uploaded.", False)
    since = fields.moment("Since when.", allow_none=True)
    next_change = fields.moment("When it changes by itself.", allow_none=True)
    next_phase = fields.text("To which phase.", "attack", allow_none=True)


class RoundSchema(Schema):
    """A round."""

    number = fields.whole("Number, which addresses use.", 1)
    title = fields.text("Title.", "Website fingerprinting")
    track = fields.text("Slug of the track.", "fingerprinting")
    is_current = fields.flag("Whether uploads go to this round.", True)
    phase = fields.nested(PhaseSchema, "Where it stands now.")


class DataSchema(Schema):
    """A round's own data set."""

    key = fields.text("Key of the file in the lab.", "0f3c")
    kind = fields.text("Kind of file.", "dataset")
    name = fields.text("Name.", "letters.npz")
    version = fields.whole("Version.", 1)


class RoundDetailSchema(RoundSchema):
    """A round with its settings and its timetable."""

    data = fields.nested(DataSchema, "The round's own data set; null: the one of the track.", allow_none=True)

    settings = fields.mapping("Settings of the track.", {"NB_CLASSES": 100})
    rules = fields.mapping("Rules of the round.", {"scoring": "balanced"})
    is_frozen = fields.flag("Whether the round has opened, which freezes its settings.", True)
    timetable = fields.nested(ChangeSchema, "Every change of phase, past and planned.", many=True)
    opened_at = fields.moment("When a phase first opened.", allow_none=True)
    matched_at = fields.moment("When its matches were generated.", allow_none=True)
    board_frozen_at = fields.moment("Students see the board as it was then.", allow_none=True)
    seed = fields.whole(
        "Splits and matches follow from it; admins only. May exceed 2^53.", 7, high=MAX_SEED, allow_none=True
    )


class RoundEditSchema(Schema):
    """Changes of a round; what is left out stays."""

    title = fields.text("Title; empty: the track's.", "Week 3", maximum=120)
    settings = fields.mapping("Settings of the track.", {"NB_CLASSES": 100})
    rules = fields.mapping("Rules of the round.", {"MATCHES_PER_TEAM": 3})
    data = fields.text("Key of an admin's accepted file of the lab; empty: the track's own data.", "", maximum=64)


class NewRoundSchema(RoundEditSchema):
    """A new round."""

    track = fields.text("Slug of the track.", "fingerprinting", choices=TRACKS, required=True)
    seed = fields.whole("Splits and matches follow from it; left out: a random one.", 7, low=0, high=MAX_SEED)


class PhaseChangeSchema(Schema):
    """A change of phase, now or at a moment."""

    phase = fields.text("The phase from then on.", "defence", choices=PHASES, required=True)
    at = fields.moment("When; left out: now, and everybody who plays is told by mail.", validate=fields.TIMES)


class FreezeSchema(Schema):
    """What students see of the leaderboard."""

    is_frozen = fields.flag("True: as it is now. False: live.", True, required=True)
