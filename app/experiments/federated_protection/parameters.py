"""What a person sets for a study of federated protection; loads no torch."""

from dataclasses import dataclass, replace

from app.experiments.federated_protection.choices import (
    CONFIGURATIONS,
    EFFORTS,
    MODELS,
    PARTITIONS,
    PROTECTIONS,
)
from app.parameters import parameter

LAYERS = ("own", "first", "all", "weights", "last")


@dataclass(frozen=True)
class Parameters:
    """The parameters of one study."""

    configuration: str = parameter(
        "own",
        "A named configuration takes the place of clients, records, held-out ones, rounds, local training and model.",
        choices=("own", *CONFIGURATIONS),
    )
    clients: int = parameter(5, "Clients of the federation.", minimum=1, maximum=200)
    records: int = parameter(
        80, "Records that a client trains on; fewer if the data do not suffice.", minimum=10, maximum=100_000
    )
    partition: str = parameter("iid", "How records are dealt out.", choices=tuple(PARTITIONS))
    beta: float = parameter(0.5, "Dirichlet: the smaller, the more clients differ.", minimum=0.01, maximum=1e4)
    client_classes: int = parameter(2, "Fixed classes: classes of each client.", minimum=1, maximum=1000)
    rounds: int = parameter(10, "Rounds of the federation.", minimum=1, maximum=500)
    epochs: int = parameter(5, "Passes of a client over its records in a round.", minimum=1, maximum=200)
    batch: int = parameter(32, "Records of one local step.", minimum=1, maximum=10_000)
    rate: float = parameter(0.1, "Learning rate of the clients.", minimum=1e-6, maximum=10.0)
    momentum: float = parameter(0.5, "Momentum of SGD.", minimum=0.0, maximum=0.999)
    weight_decay: float = parameter(0.0, "Squared-norm penalty.", minimum=0.0, maximum=1.0)
    decay: float = parameter(1.0, "Factor on the learning rate after every round.", minimum=0.01, maximum=1.0)
    optimiser: str = parameter("sgd", "The clients' optimiser.", choices=("sgd", "adam"))
    is_shuffled: bool = parameter(
        True, "Clients take their records in a new order in every epoch; the published code never does."
    )
    model: str = parameter("perceptron", "The network.", choices=tuple(MODELS))
    protection: str = parameter("p2-corrected", "What is compared with no protection.", choices=tuple(PROTECTIONS))
    p2_epsilon: float = parameter(0.1, "P2: how far the confidence may move.", minimum=0.0, maximum=1.0)
    p2_start: str = parameter(
        "own", "P2: models that it begins with; own is local as published, global corrected, the first distilled.",
        choices=("own", "local", "global", "first"),
    )  # fmt: skip
    p2_layers: str = parameter("own", "P2: layers whose gradients are poisoned; own is the form's own.", choices=LAYERS)
    p2_epochs: int = parameter(
        0, "P2: epochs of the additional round; 0 takes the form's own.", minimum=0, maximum=2000
    )
    p2_gradient: float = parameter(1.0, "P2, corrected: weight of the gradients.", minimum=0.0, maximum=1e3)
    p2_utility: float = parameter(0.05, "P2, corrected: weight of the true labels.", minimum=0.0, maximum=1e3)
    p2_cost: float = parameter(0.02, "P2, corrected: accuracy that may be lost.", minimum=0.0, maximum=1.0)
    smoothing: float = parameter(0.1, "Label smoothing: share of a label that is spread.", minimum=0.0, maximum=1.0)
    relax_alpha: float = parameter(0.4, "RelaxLoss: the loss that is aimed at.", minimum=0.0, maximum=20.0)
    dropout: float = parameter(0.5, "Dropout: share of zeros.", minimum=0.0, maximum=0.95)
    noise_multiplier: float = parameter(1.0, "DP-SGD: noise divided by the clipping norm.", minimum=0.0, maximum=100.0)
    clip: float = parameter(1.0, "DP-SGD: the longest gradient of a record.", minimum=1e-3, maximum=1e3)
    delta: float = parameter(1e-4, "DP-SGD: delta of the stated epsilon.", minimum=1e-12, maximum=0.1)
    budget: float = parameter(0.5, "MemGuard: expected L1 distortion of an answer.", minimum=0.0, maximum=2.0)
    top_k: int = parameter(1, "Top k: classes whose probability is told.", minimum=1, maximum=1000)
    digits: int = parameter(1, "Rounded: digits after the point.", minimum=0, maximum=10)
    attacks: str = parameter(
        "all",
        "Which attacks are tried. The white box knows of some records who is a member; others judge it.",
        choices=tuple(EFFORTS),
    )
    ascent: float = parameter(
        1.0, "White box, active: rate of the gradient ascent before each of the last rounds.", minimum=0.0, maximum=1e3
    )
    shadows: int = parameter(4, "Shadow models of the attacks that train some; even.", minimum=2, maximum=64)
    held_out: float = parameter(
        0.5, "Records that a client holds out, as a share of those it trains on.", minimum=0.01, maximum=2.0
    )
    seeds: int = parameter(3, "Repetitions with other splits and weights, for the intervals.", minimum=1, maximum=20)

    @property
    def effective(self) -> "Parameters":
        """The parameters with those of the named configuration in their places."""
        return replace(self, **CONFIGURATIONS.get(self.configuration, {}))
