"""A malicious client imitates the records of a class that it does not own."""

from app.experiments.base import Card, Input
from app.reports import Metric

CARD = Card(
    slug="imitation",
    title="Imitation by a malicious client",
    summary=(
        "A federation trains a classifier, and one of its clients uses the shared model as the discriminator of a GAN: "
        "it learns to make images of a class that only the others own. A classifier that never saw the federation "
        "judges what it makes."
    ),
    inputs=(Input("dataset", "dataset", "Images; without a file, the digits that come with the platform.", False),),
    metrics=(
        Metric("success", "Taken for real", "Share of the imitations that the judge takes for the class.", "%", False),
        Metric("untrained", "Before the first round", "The same share before anything was learnt.", "%", False),
        Metric("judge", "Judge's accuracy", "On real records that it was not trained on.", "%"),
        Metric("accuracy", "Accuracy of the federation", "Of the last round's model, on independent records.", "%"),
    ),
    experiment="app.experiments.imitation.experiment:ImitationStudy",
)
