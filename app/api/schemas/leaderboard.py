"""Shapes of the leaderboard."""

from app.api import fields
from app.api.schemas import Schema


class StandingSchema(Schema):
    """One row."""

    team = fields.text("Name of the team.", "Red")
    team_id = fields.whole("Its id.", 3)
    rank = fields.whole("Rank; shared where the bootstrap cannot tell teams apart.", 1, allow_none=True)
    rank_low = fields.whole("Best rank within the 95 % interval.", 1, allow_none=True)
    rank_high = fields.whole("Worst rank within it.", 2, allow_none=True)
    score = fields.number("Score.", 61.3, allow_none=True)
    defence = fields.number("Points of the defence.", 55.0, allow_none=True)
    attack = fields.number("Points of the attacks.", 67.5, allow_none=True)
    utility = fields.number("Utility of the counted defence.", 0.83, allow_none=True)
    worst_leakage = fields.number("The worst attack against it.", 0.34, allow_none=True)
    attacked = fields.whole("Matches that the team has attacked.", 2)
    matches = fields.whole("Matches that it has.", 3)


class BoardSchema(Schema):
    """The standings of a round."""

    round = fields.whole("Number of the round.", 1)
    as_of = fields.moment("The moment that it shows.")
    is_frozen = fields.flag("Whether it stands still for students.", False)
    standings = fields.nested(StandingSchema, "Best first.", many=True)


class PlaceSchema(Schema):
    """A defence in the plane of utility and privacy."""

    name = fields.text("Name of the team.", "Red")
    utility = fields.number("Utility.", 0.83)
    leakage = fields.number("The worst leakage.", 0.34)
    is_house = fields.flag("Whether the house plays it.", False)
    is_on_front = fields.flag("Whether no other defence beats it in both.", True)


class PointSchema(Schema):
    """A score at a moment."""

    at = fields.moment("The moment.")
    score = fields.number("The score then.", 58.2)


class SeriesSchema(Schema):
    """A team's scores over time."""

    team = fields.text("Name of the team.", "Red")
    points = fields.nested(PointSchema, "By time.", many=True)


class OverallSchema(Schema):
    """A team's sum over all rounds."""

    team = fields.text("Name of the team.", "Red")
    rank = fields.whole("Rank.", 1)
    score = fields.number("Sum of its scores.", 120.4)
    rounds = fields.mapping("Score by number of the round.", {"1": 61.3, "2": 59.1}, fields.number("Its score."))
