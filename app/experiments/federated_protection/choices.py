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
    "p2-distilled": "P2, distilled",
    "label-smoothing": "Label smoothing",
    "relaxloss": "RelaxLoss",
    "dropout": "Dropout",
    "early-stopping": "Early stopping",
    "dp-sgd": "DP-SGD",
    "memguard": "MemGuard",
    "top-k": "Top k",
    "rounded": "Rounded",
}
MEASURED = (
    "On over-fitted Adult, in the mean of five seeds (AUC of the loss on the averaged model and on what clients send; "
    "points of accuracy): none .520 and .566; P2 as published .554 and .596, -11.6; corrected .520 and .512, -0.1; "
    "distilled .506 and .505, -0.2; early stopping .503 and .551, -0.5. So P2 as published makes both attacks "
    "stronger, and the corrected form protects only what clients send. No additional round hides what earlier rounds "
    "have shown."
)
"""What is said of the protections where one is chosen."""
LISTENS: dict[str, tuple[str, ...]] = {
    "p2-published": ("p2_epsilon", "p2_start", "p2_layers", "p2_epochs"),
    "p2-corrected": ("p2_epsilon", "p2_start", "p2_layers", "p2_epochs", "p2_gradient", "p2_utility", "p2_cost"),
    "p2-distilled": ("p2_start", "p2_epochs"),
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
}
"""Attacks that train something first; they are tried on the global model."""
WHITE_BOX = {
    "white-box": "White box, last round",
    "white-box-rounds": "White box, several rounds",
    "white-box-active": "White box, active",
}
"""Attacks of Nasr et al. that learn from known members how gradients look, on the global and the clients' models."""
TITLES = {**QUICK, **TRAINED, **WHITE_BOX}
EFFORTS = {
    "all": "All",
    "quick": "Those that need nothing but the model",
    "white-box": "Those, and the white box of Nasr et al.",
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "reference": {
        "clients": 10,
        "records": 2400,
        # Members and new records are nearly all that the data have.
        "held_out": 0.03,
        "rounds": 10,
        "epochs": 5,
        "batch": 128,
        "rate": 0.005,
        "optimiser": "sgd",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "decay": 1.0,
        "is_shuffled": False,
        "model": "deep",
    },
    "overfitted": {
        "clients": 10,
        "records": 240,
        "held_out": 1.0,
        "rounds": 10,
        "epochs": 20,
        "batch": 128,
        "rate": 0.001,
        "optimiser": "adam",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "decay": 1.0,
        "is_shuffled": True,
        "model": "deep",
    },
}
"""Named configurations of the federation: the published study's, and one whose models have something to leak."""
CONFIGURATION_TITLES = {
    "own": "As set below",
    "reference": "Reference: ten clients, 2,400 records each",
    "overfitted": "Over-fitted: ten clients, 240 records each",
}
FILLS = {
    CONFIGURATION_TITLES[name].partition(":")[0]: {"configuration": "own", "partition": "iid", **values}
    for name, values in CONFIGURATIONS.items()
}
"""Button -> what it fills in: the whole federation, which may then be changed field by field."""
