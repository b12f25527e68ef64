"""The audit of a language model: which sentences it was trained on, and how sure one can be of that."""

from app.experiments.base import Card, Input
from app.reports import Metric

CARD = Card(
    slug="membership-audit",
    title="Membership audit",
    summary=(
        "Attacks a language model that was trained here: tells the sentences that it was trained on from those that it "
        "was not, by several scores, and gives a verdict with a p-value on sentences of your own. The threshold is "
        "calibrated on sentences that take no part in the result."
    ),
    inputs=(
        Input("checkpoint", "checkpoint", "A model from a language model training, in .safetensors."),
        Input("corpus", "corpus", "The very corpus that it was trained on, in .txt."),
    ),
    metrics=(
        Metric("auc", "AUC", "The chance that a member scores above another sentence; 0.5 = a blind guess.", "", False),
        Metric("balanced_accuracy", "Balanced accuracy", "Of the best threshold, seen in hindsight.", "%", False),
        Metric(
            "tpr_10", "Found at 10 %", "Share of the members found when 10 % of the others are accused.", "%", False
        ),
        Metric("tpr_1", "Found at 1 %", "Share of the members found when 1 % of the others are accused.", "%", False),
        Metric("tpr_01", "Found at 0.1 %", "The same at 0.1 %; with few others, at none of them.", "%", False),
        Metric("verdict_tpr", "Found by the verdict", "Share of the members that the verdict accuses.", "%", False),
        Metric(
            "verdict_fpr",
            "Wrongly accused",
            "Share of the others that the verdict accuses, among those that it was not calibrated on.",
            "%",
        ),
        Metric("overlap", "Others trained on", "Share of the others whose very words a member has.", "%"),
    ),
    experiment="app.experiments.membership_audit.experiment:MembershipAudit",
)
