"""Website fingerprinting: which cell of a map was asked for, told from the sizes and times of encrypted packets."""

from app.tracks.base import Card, Metric, UploadRule

CARD = Card(
    slug="fingerprinting",
    title="Website fingerprinting",
    summary=(
        "Every grid cell of a location service leaves its own pattern of packets, even through Tor. Defenders hide the "
        "pattern in their captures at little cost; attackers learn it and name the cells of unlabelled captures."
    ),
    defence=UploadRule(
        (".zip",),
        "A zip of one csv with the columns cell_id, rep, direction_size and timestamp, or of one pcap per capture.",
    ),
    answer=UploadRule(
        (".zip",),
        "A zip of one csv with the columns team_id, capture_id and proba_class_1 to proba_class_N, for all matches.",
    ),
    utility_metrics=(
        Metric(
            "classic_score",
            "Classic score",
            "64 / log10(median bytes in x median bytes out x median seconds), between 0 and 10.",
            decimals=2,
        ),
        Metric(
            "bandwidth_share", "Bandwidth left", "Median bytes of the undefended captures over yours, at most 1.", "%"
        ),
        Metric("speed_share", "Speed left", "Median seconds of the undefended captures over yours, at most 1.", "%"),
        *(
            Metric(f"{kind}_{name}", f"{title}, {word}", help_text, unit, higher_is_better=False, decimals=decimals)
            for name, title, help_text, unit, decimals in (
                ("bytes_in", "Bytes in", "Bytes per capture from the network to the client.", "B", 0),
                ("bytes_out", "Bytes out", "Bytes per capture from the client to the network.", "B", 0),
                ("duration", "Duration", "Seconds from the first to the last packet of a capture.", "s", 3),
            )
            for kind, word in (("median", "median"), ("mean", "mean"), ("max", "maximum"))
        ),
        Metric(
            "median_bytes",
            "Bytes, median",
            "Bytes per capture in both directions.",
            "B",
            higher_is_better=False,
            decimals=0,
        ),
    ),
    leakage_metrics=(
        Metric(
            "advantage",
            "Advantage",
            "How far the accuracy lies above guessing: 0 = a blind guess, 1 = every capture.",
        ),
        Metric(
            "accuracy",
            "Accuracy",
            "Share of captures whose cell got the highest probability; ties are shared.",
            "%",
            decimals=3,
        ),
        Metric("top_5", "Top 5", "Share of captures whose cell is among the five most probable ones.", "%", decimals=3),
        Metric("auc", "ROC-AUC", "Mean over the cells of the one-vs-rest area under the ROC curve; 0.5 = blind."),
        Metric(
            "classic_performance",
            "Classic performance",
            "10 x ROC-AUC, as earlier competitions counted; 5 = blind.",
            decimals=2,
        ),
        Metric(
            "log_loss",
            "Log-loss",
            "Mean of -ln(probability of the true cell), which is at least 1e-6; ln N = blind.",
            "nats",
            higher_is_better=False,
        ),
    ),
    game="app.tracks.fingerprinting.game:Fingerprinting",
)
