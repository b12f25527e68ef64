"""How the form of a study is laid out; loads no torch."""

from app.experiments.base import Group, Layout
from app.experiments.federated_protection.choices import (
    CONFIGURATION_TITLES,
    EFFORTS,
    FILLS,
    LISTENS,
    MEASURED,
    MODELS,
    PARTITIONS,
    PROTECTIONS,
)

_P2 = LISTENS["p2-corrected"]
_OTHERS = tuple(name for names in LISTENS.values() for name in names if name not in _P2)

LAYOUT = Layout(
    groups=(
        Group("The federation", ("configuration", "clients", "records", "partition", "rounds", "model")),
        Group("The protection", ("protection",), note=MEASURED),
        Group("Settings of P2", _P2, is_folded=True),
        Group("Settings of other protections", _OTHERS, is_folded=True),
        Group(
            "Local training",
            ("epochs", "batch", "rate", "momentum", "weight_decay", "decay", "optimiser", "is_shuffled"),
            is_folded=True,
        ),
        Group("Shares", ("beta", "client_classes", "held_out"), is_folded=True),
        Group("The attacks", ("attacks", "shadows", "ascent", "seeds")),
    ),
    titles={
        "configuration": CONFIGURATION_TITLES,
        "model": MODELS,
        "partition": PARTITIONS,
        "protection": PROTECTIONS,
        "attacks": EFFORTS,
        "optimiser": {"sgd": "SGD", "adam": "Adam"},
        "p2_start": {
            "own": "Its own",
            "local": "The clients' models",
            "global": "The global model",
            "first": "The first round's",
        },
        "p2_layers": {
            "own": "Its own",
            "first": "The first weight",
            "all": "All",
            "weights": "All weights, no biases",
            "last": "The last layer",
        },
    },
    fills={label: {name: str(value) for name, value in values.items()} for label, values in FILLS.items()},
)
