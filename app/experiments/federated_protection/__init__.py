"""The study of federated models and their protection: what a protection costs, and what it really hides."""

from app.experiments.base import Card, Input
from app.reports import Metric

CARD = Card(
    slug="federated-protection",
    title="Federated protection",
    summary=(
        "Trains a federation with and without a protection, such as P2 as published, corrected or distilled, and "
        "attacks the global model and what the clients send, also as a server that watches several rounds or meddles "
        "with them: accuracy, AUC and true positives at few false alarms before and after, with intervals over several "
        "seeds, and a plain word where a protection made an attack stronger."
    ),
    inputs=(
        Input("table", "table", "A table of labelled records; without any file handwritten digits.", is_required=False),
        Input("dataset", "dataset", "Labelled images in .h5, .hdf5 or .npz instead of a table.", is_required=False),
    ),
    metrics=(
        Metric("accuracy_before", "Accuracy before", "Of the global model without protection, on new records.", "%"),
        Metric("accuracy_after", "Accuracy after", "Of the protected global model, on new records.", "%"),
        Metric(
            "auc_before",
            "Strongest attack before",
            "The largest AUC of all attacks on the global model without protection; 0.5 is chance.",
            higher_is_better=False,
        ),
        Metric(
            "auc_after",
            "Strongest attack after",
            "The largest AUC of all attacks on the protected global model; 0.5 is chance.",
            higher_is_better=False,
        ),
    ),
    experiment="app.experiments.federated_protection.experiment:FederatedProtection",
)
