"""Membership inference: a model that should not tell which records it was trained on."""

from app.tracks.base import Card, Metric, UploadRule

CARD = Card(
    slug="membership",
    title="Membership inference",
    summary=(
        "A model behaves a little differently on records that it has seen before. Defenders train one on secret "
        "records that keeps them secret; attackers get the model and tell members from strangers."
    ),
    defence=UploadRule(
        (".onnx",), "An ONNX model of the round's records that gives a logit or a probability for each class."
    ),
    answer=UploadRule(
        (".zip",),
        "A zip of one csv with the columns team_id, record_id and membership_score, higher for a member, for all "
        "matches.",
    ),
    utility_metrics=(
        Metric("accuracy", "Accuracy", "Share of the held-out records that are classified correctly.", "%"),
        Metric("worst_class", "Worst class", "Accuracy on the class of which the model knows least.", "%"),
        Metric(
            "training_accuracy",
            "Training accuracy",
            "Share of the team's secret training records that are classified as labelled; far above the accuracy "
            "means learnt by heart.",
            "%",
            higher_is_better=False,
        ),
        Metric("parameters", "Parameters", "Trained numbers within the model.", higher_is_better=False, decimals=0),
    ),
    leakage_metrics=(
        Metric("auc", "AUC", "The chance that a member scores above a stranger; 0.5 = blind."),
        Metric(
            "balanced_accuracy",
            "Balanced accuracy",
            "Mean of the shares of members and of strangers that the best threshold gets right; 50 % = blind.",
            "%",
        ),
        Metric("tpr_10", "Found at 10 %", "Share of the members found when 10 % of the strangers are accused.", "%"),
        Metric("tpr_1", "Found at 1 %", "Share of the members found when 1 % of the strangers are accused.", "%"),
        Metric("tpr_01", "Found at 0.1 %", "The same at 0.1 %; with few strangers, at none of them.", "%"),
        Metric(
            "guess",
            "Reach of a guess",
            "What 99 of 100 random answers stay below; a smaller leakage cannot be told from luck and counts as 0.",
            higher_is_better=False,
        ),
    ),
    game="app.tracks.membership.game:Membership",
    issue="A secret training set of your own, and a public population of the same kind.",
    data_kinds=("dataset", "table", "sentences"),
    kit="membership/",
    # Whether one record is a member can be read off two exact results whose answers differ in that record alone.
    rules={"feedback_step": 0.05},
)
