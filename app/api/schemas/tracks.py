"""Shapes of tracks, their settings and the house's adversaries."""

from app.api import fields
from app.api.schemas import Schema


class MetricSchema(Schema):
    """How a metric is named and read."""

    name = fields.text("Key in results.", "accuracy")
    title = fields.text("Title.", "Accuracy")
    help = fields.text("What it measures.")
    unit = fields.text("Unit; % means that 1 is shown as 100 %.", "%")
    higher_is_better = fields.flag("For the one whose metric this is.", True)
    decimals = fields.whole("Decimals worth showing.", 1)


class UploadRuleSchema(Schema):
    """What a file must look like."""

    suffixes = fields.texts("How its name ends.", [".zip"])
    description = fields.text("What is in it.")


class ParameterSchema(Schema):
    """One setting: what a form, a program and a reader need to know."""

    name = fields.text("Name.", "NB_CLASSES")
    type = fields.text("Type.", "integer", choices=("integer", "number", "boolean", "string"))
    default = fields.anything("Value where none is given.", allow_none=True)
    help = fields.text("What it does.")
    minimum = fields.number("Smallest value.", 2, allow_none=True)
    maximum = fields.number("Largest value.", 10_000, allow_none=True)
    choices = fields.texts("The only values, if there are such.")
    unit = fields.text("Unit.")


class AdversarySchema(Schema):
    """One adversary of the house."""

    slug = fields.text("Name in results.", "random-forest")
    title = fields.text("Title.", "Random forest")
    source = fields.text("Where it was published, and which variant it is.")
    parameters = fields.listing(fields.mapping("name, value, help and unit."), "Its hyperparameters.")


class TrackSchema(Schema):
    """A track in a list."""

    slug = fields.text("Name in addresses.", "fingerprinting")
    title = fields.text("Title.", "Website fingerprinting")
    summary = fields.text("What it is about.")
    defence = fields.nested(UploadRuleSchema, "The file that a defender uploads.")
    answer = fields.nested(UploadRuleSchema, "The file that an attacker uploads.")
    issue = fields.text("What a round issues to each team before it defends; empty: nothing.", "")
    data_kinds = fields.texts("Kinds of files that an admin may choose as a round's own data set.", ["dataset"])


class TrackDetailSchema(TrackSchema):
    """A track with its metrics, settings and adversaries."""

    utility_metrics = fields.nested(MetricSchema, "What is measured of a defence.", many=True)
    leakage_metrics = fields.nested(MetricSchema, "What is measured of an attack.", many=True)
    settings = fields.nested(ParameterSchema, "Settings of a round that plays it.", many=True)
    rules = fields.nested(ParameterSchema, "Settings of every round.", many=True)
    adversaries = fields.nested(AdversarySchema, "Attackers that the house plays.", many=True)
