"""Training a word-level language model on a part of a corpus, so that its membership can be audited."""

from app.experiments.base import Card, Input, Output
from app.reports import Metric

CARD = Card(
    slug="language-training",
    title="Language model training",
    summary=(
        "Trains a word-level LSTM on a part of a corpus and leaves a checkpoint that knows which sentences it was "
        "trained on: the loss as it falls, the loss of the sentences it was never shown, and how well the loss tells "
        "the two apart as the model overfits."
    ),
    inputs=(Input("corpus", "corpus", "Sentences, one a line, in .txt."),),
    metrics=(
        Metric("member_loss", "Loss of members", "Mean loss of the sentences it was trained on.", "nats"),
        Metric("other_loss", "Loss of others", "Mean loss of the sentences it was never shown.", "nats", decimals=3),
        Metric(
            "auc",
            "AUC of the loss",
            "The chance that a sentence it was trained on has a lower loss than one it was not; 0.5 = no memory.",
            higher_is_better=False,
        ),
        Metric("overlap", "Others trained on", "Share of the others whose very words a member has.", "%"),
    ),
    experiment="app.experiments.language_training.experiment:LanguageTraining",
    outputs=(Output("checkpoint.safetensors", "checkpoint", "name"),),
)
