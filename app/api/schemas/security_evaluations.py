"""Shapes of security evaluations in the words of PandaVision's clients."""

import marshmallow as ma

from app.api import fields
from app.api.schemas import Schema
from app.api.schemas.lab import KEY
from app.api.schemas.uploads import ReasonSchema
from app.experiments.pandavision.answers import WORDS
from app.experiments.pandavision.requests import ATTACK_OF, MODES
from app.experiments.security_evaluation.choices import ATTACKS

STATES = tuple(dict.fromkeys(WORDS.values()))


class EvaluationRequestSchema(Schema):
    """What to evaluate; everything has a default."""

    dataset = fields.text(
        "Name or key of an uploaded data set; left out, empty or in angle brackets: the newest.", "data.h5", maximum=255
    )
    trained_model = fields.text(
        "Name or key of an uploaded model, likewise.", "model.onnx", maximum=255, data_key="trained-model"
    )
    attack = fields.text("Name of the attack; see /api/attacks/{norm}.", "pgd-linf", choices=ATTACKS)
    attack_params = fields.mapping("The attack's own parameters.", {"steps": 50}, data_key="attack-params")
    perturbation_type = fields.text(
        "Stands for an attack: pgd-linf or noise-linf.", "max-norm", choices=ATTACK_OF, data_key="perturbation-type"
    )
    perturbation_values = ma.fields.List(
        ma.fields.Float(),
        data_key="perturbation-values",
        metadata={"description": "Sizes as shares of the input range.", "examples": [[0, 0.01, 0.02]]},
    )
    evaluation_mode = fields.text(
        "fast: 100 samples, in the proportions of the classes.", "fast", choices=MODES, data_key="evaluation-mode"
    )
    indexes = ma.fields.List(
        fields.whole("From 0.", low=0, high=10**8), metadata={"description": "These samples only."}
    )
    task = fields.text("What the model does.", "classification", choices=("classification",))
    performance_metric = fields.text(
        "What is measured.",
        "classification-accuracy",
        choices=("classification-accuracy",),
        data_key="performance-metric",
    )
    preprocessing = fields.mapping(
        "mean and std; empty: none; left out: ImageNet's for three channels.",
        {"mean": [0.5], "std": [0.25]},
        allow_none=True,
    )


class EvaluationSchema(Schema):
    """How far an evaluation is."""

    id = fields.text("Names it in addresses.", KEY)
    task_status = fields.text("How far it is.", "started", choices=STATES)
    progress = fields.number("Share that is done.", 0.4)
    position = fields.whole("Place in the queue, 1 = next; 0 when it does not wait.", 0)
    seconds_left = fields.number("An estimate from the progress so far.", 12.5, allow_none=True)
    reasons = fields.nested(ReasonSchema, "Why it failed: every reason at once.", many=True)
    detail = fields.text("What the status means, where that is not plain.")
    parameters = fields.mapping("What it runs with, defaults included.")


class EvaluationRowSchema(Schema):
    """An evaluation in the list."""

    id = fields.text("Names it in addresses.", KEY)
    status = fields.text("How far it is.", "finished", choices=STATES)
    created_at = fields.moment("Requested at.")


class EvaluationFilterSchema(Schema):
    """Which evaluations."""

    status = fields.text("Only with this status.", "finished", choices=STATES)


class OutputSchema(Schema):
    """The result."""

    task_status = fields.text("finished", "finished", choices=STATES)
    results = fields.mapping("sec-level, sec-value, sec-curve (x-values, y-values, …), paths and images.")


class InspectedSchema(Schema):
    """What can be inspected."""

    epsilon_values = fields.texts("Perturbation sizes.", ["0.010"])
    num_samples = ma.fields.List(ma.fields.Integer(), metadata={"description": "Numbers of the samples."})


class PredictionSchema(Schema):
    """A class and how sure the model is of it."""

    label = fields.text("Name of the class.", "7", data_key="class")
    confidence = fields.number("Its probability.", 0.93)


class InspectionSchema(Schema):
    """One sample at one perturbation size."""

    attack_losses = ma.fields.List(ma.fields.Float(), metadata={"description": "Loss by iteration."})
    attack_distances = ma.fields.List(ma.fields.Float(), metadata={"description": "Distance by iteration."})
    epsilon_vals = fields.texts("Perturbation sizes, 0 included.", ["0.000", "0.010"])
    num_samples = fields.whole("How many samples can be inspected.", 10)
    epsilon = fields.text("The size of this answer.", "0.010")
    index = fields.whole("Number of the sample in the data set.", 17)
    label = fields.text("Its class.", "7")
    original = fields.nested(PredictionSchema, "What the model says to the sample as it is.", many=True)
    adversarial = fields.nested(PredictionSchema, "What it says after the attack.", many=True)


class SizeSchema(Schema):
    """Which perturbation size."""

    epsilon = fields.whole("Place in epsilon_vals; left out: the last one.", 1, low=0, high=1000, strict=False)


class AttacksSchema(Schema):
    """Attacks of a norm."""

    attacks = ma.fields.List(ma.fields.List(ma.fields.String()), metadata={"description": "Pairs of label and name."})


class SizesSchema(Schema):
    """Usual perturbation sizes of a norm."""

    pert_sizes = ma.fields.List(ma.fields.List(ma.fields.Raw()), metadata={"description": "Pairs of label and value."})
