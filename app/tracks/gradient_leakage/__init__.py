"""Gradient leakage: what clients of federated learning share, and what it tells of their records."""

from app.tracks.base import Card, Metric, UploadRule

CARD = Card(
    slug="gradient_leakage",
    title="Gradient leakage",
    summary=(
        "Clients of federated learning share gradients instead of records, and gradients tell of the records. "
        "Defenders protect what they share so that it stays useful; attackers rebuild the private batches from it."
    ),
    defence=UploadRule(
        (".npz", ".safetensors"),
        "An npz or safetensors file of protected gradients or updates: one array per parameter, batches first.",
    ),
    answer=UploadRule(
        (".npz",),
        "An npz with one array team_<id> of reconstructed batches for each opponent, and team_<id>_labels if you like.",
    ),
    utility_metrics=(
        Metric(
            "news",
            "News kept",
            "Cosine between what you share and the truth, both less what public records give anyway.",
        ),
        Metric("cosine", "Cosine", "Cosine between what you share and the true gradient or update."),
        Metric(
            "loss_decrease",
            "Loss decrease",
            "How much the mean of what you share lowers the loss on held-out records.",
            decimals=4,
        ),
        Metric("loss_share", "Share of loss decrease", "That, divided by what the truth would do; from 0 to 1.", "%"),
    ),
    leakage_metrics=(
        Metric("psnr_mean", "Mean PSNR", "Peak signal-to-noise ratio of the reconstructions.", "dB", decimals=1),
        Metric("psnr_median", "Median PSNR", "Half of the reconstructions are better.", "dB", decimals=1),
        Metric("psnr_min", "Lowest PSNR", "The worst reconstruction.", "dB", decimals=1),
        Metric("above_20", "Above 20 dB", "Share of the records that are recognisable.", "%"),
        Metric("ssim", "SSIM", "Mean structural similarity of reconstructions and originals, from -1 to 1."),
        Metric(
            "identified",
            "Identified",
            "Share of the reconstructions to which the original is nearer than any other record of its class.",
            "%",
        ),
        Metric(
            "mse", "Mean squared error", "Of values from 0 to 1, after matching.", higher_is_better=False, decimals=5
        ),
        Metric(
            "label_accuracy",
            "Labels right",
            "Overlap of the labels handed in with those of each batch; 0 if none are handed in.",
            "%",
        ),
    ),
    game="app.tracks.gradient_leakage.game:GradientLeakage",
    issue="The model with its initial weights, the training rule, public records, and your team's own private batches.",
    data_kinds=("dataset", "table"),
    kit="gradient_leakage/",
)
