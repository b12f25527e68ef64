"""The security evaluation of a classifier: how its accuracy falls as an attacker may change the inputs more."""

from app.experiments.base import Card, Input
from app.reports import Metric

CARD = Card(
    slug="security-evaluation",
    title="Security evaluation",
    summary=(
        "Attacks an uploaded ONNX classifier on an uploaded data set and draws its accuracy against the size of the "
        "perturbation: for each sample the worst case of all that was tried, with counts, intervals and checks of "
        "whether the number can be trusted."
    ),
    inputs=(
        Input("model", "model", "An ONNX classifier of images, of any last layer."),
        Input(
            "dataset", "dataset", "Labelled images it should be right about: samples and labels in .h5, .hdf5 or .npz."
        ),
    ),
    metrics=(
        Metric("clean_accuracy", "Clean accuracy", "Share of samples that are classified correctly as they are.", "%"),
        Metric(
            "robust_accuracy",
            "Robust accuracy",
            "Share of samples that stay correct at the largest perturbation size, whatever the attack tried.",
            "%",
        ),
        Metric(
            "level_value",
            "Security value",
            "Area under the curve divided by what a model that is always right would have; 1 = nothing can be done.",
        ),
        Metric(
            "median_distance",
            "Median distance",
            "Half of the samples that are right as they are became errors within this share of the input range.",
        ),
    ),
    experiment="app.experiments.security_evaluation.experiment:SecurityEvaluation",
)
