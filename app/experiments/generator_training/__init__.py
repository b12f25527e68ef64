"""Training a generator of images, the prior of generative attacks."""

from app.experiments.base import Card, Input
from app.reports import Metric

CARD = Card(
    slug="generator-training",
    title="Generator training",
    summary=(
        "Trains a small GAN on public images, as generative gradient attacks do for their prior, and shows what it "
        "makes. The weights can be downloaded."
    ),
    inputs=(Input("dataset", "dataset", "Images; without a file, the digits that come with the platform.", False),),
    metrics=(
        Metric("distance", "Distance at the end", "The critic's estimate of the Wasserstein distance.", decimals=3),
        Metric("nearest", "Nearest real image", "Mean PSNR to the nearest real image; very high: it repeats.", "dB"),
    ),
    experiment="app.experiments.generator_training.experiment:GeneratorTrainingRun",
)
