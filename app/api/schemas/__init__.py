"""The shapes of what goes in and out, one file per noun."""

import marshmallow as ma

from app.api import fields


class Schema(ma.Schema):
    """A shape; names that it does not know are refused."""


class TeamRefSchema(Schema):
    """Which team."""

    id = fields.whole("Id of the team.", 3)
    name = fields.text("Name of the team.", "Red")


class EstimateSchema(Schema):
    """A measured number with its 95 % interval."""

    value = fields.number("The measured number.", 0.62)
    low = fields.number("Lower end of the interval; null where it has no meaning.", 0.58, allow_none=True)
    high = fields.number("Upper end of the interval.", 0.66, allow_none=True)


class FigureSchema(Schema):
    """A picture as data."""

    kind = fields.text("How the arrays are read.", "bars", choices=("bars", "lines", "heatmap", "images"))
    title = fields.text("Title.", "Accuracy per cell")
    x = fields.text("What the horizontal axis shows.")
    y = fields.text("What the vertical axis shows.")
    arrays = fields.mapping("Lists of numbers or texts by name; see kind.")
    note = fields.text("A remark.")


class ProblemSchema(Schema):
    """What went wrong (RFC 9457)."""

    type = fields.text("Which kind of problem.", "about:blank", required=True)
    title = fields.text("The kind in words.", "Not Found", required=True)
    status = fields.whole("The HTTP status.", 404, required=True)
    detail = fields.text("What happened, and what to do.", "There is no such upload.", required=True)
    instance = fields.text("The address that was asked.", "/api/defences/7", required=True)
    errors = fields.mapping(
        "What is wrong with each field, by its dotted path.",
        {"title": ["Longer than maximum length 120."]},
        fields.texts("Every problem of this field."),
    )


def metrics(description: str) -> ma.fields.Dict:
    """Measured numbers by the metric's name."""
    example = {"accuracy": {"value": 0.62, "low": 0.58, "high": 0.66}}
    return fields.mapping(description, example, fields.nested(EstimateSchema))
