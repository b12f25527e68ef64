"""The data, models, protections and attacks that a person can choose; loads no torch."""

from typing import Any

MODELS = {
    "perceptron": "Perceptron, 128 hidden units",
    "deep": "Perceptron, 500 and 300 hidden units",
    "cnn": "Small convolutional network (images only)",
}
PARTITIONS = {"iid": "Independent and identical", "dirichlet": "Dirichlet", "fixed-classes": "Fixed classes"}
PROTECTIONS = {
    "none": "None",
    "p2-published": "P2, as published",
    "p2-corrected": "P2, corrected",
    "label-smoothing": "Label smoothing",
    "relaxloss": "RelaxLoss",
    "dropout": "Dropout",
    "early-stopping": "Early stopping",
    "dp-sgd": "DP-SGD",
    "memguard": "MemGuard",
    "top-k": "Top k",
    "rounded": "Rounded",
}
LISTENS: dict[str, tuple[str, ...]] = {
    "p2-published": ("p2_epsilon", "p2_start", "p2_layers", "p2_epochs"),
    "p2-corrected": ("p2_epsilon", "p2_start", "p2_layers", "p2_epochs", "p2_gradient", "p2_utility", "p2_cost"),
    "label-smoothing": ("smoothing",),
    "relaxloss": ("relax_alpha",),
    "dropout": ("dropout",),
    "dp-sgd": ("noise_multiplier", "clip", "delta"),
    "memguard": ("budget",),
    "top-k": ("top_k",),
    "rounded": ("digits",),
}
"""Protection -> the parameters that it listens to."""
QUICK = {
    "loss": "Loss",
    "confidence": "Confidence (ML-Leaks 3)",
    "entropy": "Entropy",
    "gradient-norm": "Gradient norm",
}
"""Attacks that need nothing but the model; they are tried on the global model and on the clients' models."""
TRAINED = {
    "ml-leaks": "ML-Leaks 1",
    "shadow-models": "Shadow models",
    "white-box": "White box (Nasr)",
}
"""Attacks that train something first; they are tried on the global model."""
TITLES = {**QUICK, **TRAINED}
EFFORTS = {"all": "All", "quick": "Those that need nothing but the model"}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "reference": {
        "clients": 10,
        "records": 2400,
        "rounds": 10,
        "epochs": 5,
        "batch": 128,
        "rate": 0.005,
        "optimiser": "sgd",
        "momentum": 0.0,
        "model": "deep",
    },
    "overfitted": {
        "clients": 10,
        "records": 240,
        "rounds": 10,
        "epochs": 20,
        "batch": 128,
        "rate": 0.001,
        "optimiser": "adam",
        "momentum": 0.0,
        "model": "deep",
    },
}
"""Named configurations of the federation: the published study's, and one whose models have something to leak."""
CONFIGURATION_TITLES = {
    "own": "As set below",
    "reference": "Reference: ten clients, 2,400 records each",
    "overfitted": "Over-fitted: ten clients, 240 records each",
}
