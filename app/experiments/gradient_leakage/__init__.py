"""Gradient leakage: what can be rebuilt of private batches from what federated clients share."""

from app.experiments.base import Card, Input
from app.reports import Metric

CARD = Card(
    slug="gradient-leakage",
    title="Gradient leakage",
    summary=(
        "Clients share a gradient, an update of several local steps, or take part in a federation; an attack rebuilds "
        "their private batches. Shows originals and reconstructions side by side, and how the quality decays with "
        "local steps, batch size, or the strength of a defence."
    ),
    inputs=(
        Input("dataset", "dataset", "Labelled images; without a file, what comes with the platform.", False),
        Input("table", "table", "Or a table of labelled records.", False),
    ),
    metrics=(
        Metric("psnr_median", "Median PSNR", "Of the reconstructions, matched within each batch.", "dB", False, 1),
        Metric("psnr_mean", "Mean PSNR", "Exact reconstructions count as 150 dB.", "dB", False, 1),
        Metric("psnr_min", "Worst PSNR", "Of the reconstruction that is farthest off.", "dB", False, 1),
        Metric("ssim", "SSIM", "Mean structural similarity, 1 = identical.", "", False),
        Metric("above_20", "Recognisable", "Share of the records rebuilt with more than 20 dB.", "%", False),
        Metric("identified", "Identified", "Share whose nearest record of the class is the true one.", "%", False),
        Metric("label_accuracy", "Labels", "Overlap of the labels with the true ones, batch by batch.", "%", False),
        Metric("leakage", "Leakage", "1 - error / error of the best blind guess; 0 = nothing was learnt.", "", False),
        Metric("blind_psnr", "Blind PSNR", "Median PSNR of the best guess that looks at nothing.", "dB", False, 1),
    ),
    experiment="app.experiments.gradient_leakage.experiment:GradientLeakage",
)
