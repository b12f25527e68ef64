"""Robustness: a classifier of small images that should stay right when every pixel is moved a little."""

from app.tracks.base import Card, Metric, UploadRule

CARD = Card(
    slug="robustness",
    title="Adversarial robustness",
    summary=(
        "A change that nobody notices can make a classifier err. Defenders train one that holds its ground; attackers "
        "get the model and move its inputs, within a ball of fixed size, until it is wrong."
    ),
    defence=UploadRule(
        (".onnx",),
        "An ONNX classifier of the round's images, values between 0 and 1, with one output for each class. Without a "
        "data set of the round's own these are digits, (N, 1, 8, 8) or (N, 64), with 10 outputs.",
    ),
    answer=UploadRule(
        (".npz",), "An npz with one array team_<id> of perturbed inputs for each opponent, shaped as the inputs."
    ),
    utility_metrics=(
        Metric("clean_accuracy", "Clean accuracy", "Share of the hidden images that are classified correctly.", "%"),
        Metric("worst_class", "Worst class", "Clean accuracy on the class of which the model knows least.", "%"),
        Metric("parameters", "Parameters", "Trained numbers within the model.", higher_is_better=False, decimals=0),
    ),
    leakage_metrics=(
        Metric(
            "success_rate",
            "Success rate",
            "Share of the inputs that were right as they are and are wrong now: 1 - robust / clean accuracy.",
            "%",
        ),
        Metric(
            "robust_accuracy",
            "Robust accuracy",
            "Share of all inputs that are right as they are and stay right.",
            "%",
            higher_is_better=False,
        ),
        Metric(
            "clean_accuracy",
            "Clean accuracy",
            "Share of all inputs that are right as they are; the attacker cannot change it.",
            "%",
            higher_is_better=False,
        ),
        Metric(
            "mean_distance",
            "Mean distance",
            "How far the inputs that became wrong were moved, in the norm of the round; 0 if there is none.",
            higher_is_better=False,
        ),
    ),
    issue="The images that you may train on, with their labels.",
    data_kinds=("dataset",),
    kit="robustness/",
    game="app.tracks.robustness.game:Robustness",
)
