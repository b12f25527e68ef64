"""What a person sets for a run, read and checked before anything is queued; loads no torch."""

from dataclasses import dataclass, fields, replace
from typing import Any

from app.errors import InvalidParameters
from app.experiments.base import Group, Layout
from app.experiments.gradient_leakage.offers import ATTACKS, DATA, DEFENCES, FEDERATED, MODELS, SCRIPTS, TITLES
from app.parameters import parameter

AXES = ("none", "local_epochs", "records", "strength")
MOST_POINTS = 12
MOST_RECORDS = 512


@dataclass(frozen=True)
class Parameters:
    """The parameters of one run."""

    script: str = parameter(
        "own",
        "A published script by its name, whose settings then replace those below; own: the settings below.",
        choices=("own", *SCRIPTS),
    )
    mode: str = parameter(
        "gradient",
        "Clients that share one thing (gradient), or a federation of which the server attacks one client a round.",
        choices=("gradient", "federated"),
    )
    attack: str = parameter("idlg", "The attack.", choices=tuple(ATTACKS))
    iterations: int = parameter(0, "Iterations of the attack; 0: its own default.", minimum=0, maximum=200_000)
    variation: float = parameter(
        0.0, "Weight of the total variation in attacks that search for images; 0: their own.", minimum=0.0, maximum=10.0
    )
    bins: int = parameter(128, "rtf: bins of the layer that a malicious server inserts.", minimum=2, maximum=4096)
    model: str = parameter("lenet", "The architecture.", choices=MODELS)
    warm_up: int = parameter(0, "Passes over public records before the attack; 0: untrained.", minimum=0, maximum=100)
    data: str = parameter(
        "photographs",
        "Crops of 32 x 32 of two photographs, or digits of 8 x 8; a file of your own takes their place.",
        choices=DATA,
    )
    victims: int = parameter(4, "Private batches that are attacked.", minimum=1, maximum=64)
    records: int = parameter(1, "Records of a batch.", minimum=1, maximum=64)
    labels: str = parameter("hidden", "Whether the attacker is told the labels.", choices=("hidden", "given"))
    local_epochs: int = parameter(
        0, "Local passes before an update is shared; 0: the gradient is shared.", minimum=0, maximum=50
    )
    local_batch: int = parameter(0, "Records of a local step; 0: all.", minimum=0, maximum=64)
    learning_rate: float = parameter(0.01, "Learning rate of local steps.", minimum=1e-6, maximum=10.0)
    defence: str = parameter("none", "What clients do to what they share.", choices=DEFENCES)
    strength: float = parameter(0.0, "How strong the defence is; 0: its own default.", minimum=0.0, maximum=1e6)
    adaptive: bool = parameter(False, "The attacker applies the defence to its trial gradients, where it can.")
    axis: str = parameter("none", "Repeat everything along one setting, for the decay curve.", choices=AXES)
    points: str = parameter("1, 2, 4, 8", "The values of that setting, separated by commas.")
    clients: int = parameter(10, "Federated: clients.", minimum=2, maximum=100)
    rounds: int = parameter(2, "Federated: rounds; one client is attacked in each.", minimum=1, maximum=50)
    partition: str = parameter("dirichlet", "Federated: how records are dealt out.", choices=("iid", "dirichlet"))
    beta: float = parameter(0.5, "Federated: concentration of Dirichlet.", minimum=0.01, maximum=1000.0)
    momentum: float = parameter(0.0, "Federated: momentum of the clients.", minimum=0.0, maximum=0.99)
    weight_decay: float = parameter(0.0, "Federated: weight decay of the clients.", minimum=0.0, maximum=1.0)
    decay: float = parameter(0.95, "Federated: factor on the learning rate each round.", minimum=0.01, maximum=1.0)

    def __post_init__(self) -> None:
        """Refuse what cannot be run. Raises InvalidParameters."""
        problems = {}
        try:
            values = self.values()
        except ValueError as error:
            problems["points"] = str(error)
        else:
            largest = max([self.records, *(values if self.axis == "records" else ())])
            if self.victims * largest > MOST_RECORDS:
                problems["victims"] = f"must be at most {MOST_RECORDS} records in all, not {self.victims * largest:g}"
        if self.mode == "federated" and self.axis != "none":
            problems["axis"] = "must be none in the federated mode"
        if self.mode == "federated" and self.defence != "none":
            problems["defence"] = "must be none in the federated mode"
        if problems:
            raise InvalidParameters(problems)

    def values(self) -> tuple[float, ...]:
        """The points of the decay curve; none without an axis. Raises ValueError."""
        if self.axis == "none":
            return ()
        try:
            found = tuple(sorted({float(part) for part in self.points.split(",") if part.strip()}))
        except ValueError as error:
            raise ValueError("must be numbers, separated by commas") from error
        low, high = {"local_epochs": (0, 50), "records": (1, 64), "strength": (0, 1e6)}[self.axis]
        if not 1 <= len(found) <= MOST_POINTS or not all(low <= value <= high for value in found):
            raise ValueError(f"must be 1 to {MOST_POINTS} numbers from {low:g} to {high:g}")
        if self.axis != "strength" and any(value != int(value) for value in found):
            raise ValueError("must be whole numbers")
        return found

    def settled(self) -> "Parameters":
        """The parameters with those of the chosen script."""
        if self.script == "own":
            return self
        common = dict(FEDERATED) if self.mode == "federated" else {}
        chosen: dict[str, Any] = {**common, **SCRIPTS[self.script]}
        if self.mode == "federated":
            chosen["local_epochs"] = max(1, int(chosen["local_epochs"]))
        return replace(self, **chosen)

    def at(self, value: float) -> "Parameters":
        """The parameters at one point of the decay curve."""
        kind = {field.name: field.type for field in fields(self)}[self.axis]
        point: dict[str, Any] = {self.axis: value if kind in {"float", float} else int(value)}
        return replace(self, **point)


def _filled_in(script: str) -> dict[str, str]:
    """Every setting that some script has, as the script has it or at its default."""
    touched = {name for each in SCRIPTS.values() for name in each}
    usual = {field.name: field.default for field in fields(Parameters) if field.name in touched}
    return {"script": "own", "mode": "gradient"} | {
        name: str(each) for name, each in {**usual, **SCRIPTS[script]}.items()
    }


LAYOUT = Layout(
    groups=(
        Group("What is attacked", ("script", "mode", "attack", "model", "data", "victims", "records")),
        Group("What is shared", ("local_epochs", "local_batch", "learning_rate", "labels", "warm_up")),
        Group("Protection", ("defence", "strength", "adaptive")),
        Group("Decay curve", ("axis", "points")),
        Group("Budget", ("iterations", "variation", "bins"), is_folded=True),
        Group(
            "Federation",
            ("clients", "rounds", "partition", "beta", "momentum", "weight_decay", "decay"),
            is_folded=True,
        ),
    ),
    titles={
        "script": {"own": "My own settings", **{name: name for name in SCRIPTS}},
        "attack": TITLES,
        "model": {name: name for name in MODELS},
        "axis": {"none": "None", "local_epochs": "Local passes", "records": "Batch size", "strength": "Strength"},
    },
    fills={script: _filled_in(script) for script in SCRIPTS},
    presets={"points": {"Local steps": "0, 1, 2, 5, 10", "Batch size": "1, 2, 4, 8", "Strength": "0.01, 0.1, 1"}},
)
