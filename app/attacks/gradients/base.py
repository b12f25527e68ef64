"""What every gradient attack gets and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""


def silent(share: float) -> None:
    """Progress that nobody watches."""


class Unsuited(ValueError):
    """This attack cannot work on this observation; the text says why."""


@dataclass(frozen=True)
class LocalTraining:
    """How a client made an update; known to the attacker, because the server prescribes it."""

    epochs: int = 1
    """Passes over the client's data."""
    batch: int = 0
    """Records of one step; 0: all of the client's records."""
    learning_rates: tuple[float, ...] = (0.1,)
    """The learning rate of every step in its order; one number stands for all steps."""
    momentum: float = 0.0
    weight_decay: float = 0.0

    def steps(self, records: int) -> int:
        """Steps that a client with this many records takes."""
        batch = self.batch or records
        return self.epochs * -(-records // batch)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self.learning_rates[min(step, len(self.learning_rates) - 1)]


@dataclass(frozen=True)
class Observation:
    """What a client shared in one round, and what an attacker knows besides. Nothing may write into it."""

    model: nn.Module
    """The architecture; call it with `torch.func.functional_call(model, (parameters, buffers), x)` only."""
    parameters: Mapping[str, Tensor]
    """Weights that the server sent, by name, in the order of the model's parameters."""
    shared: Mapping[str, Tensor]
    """By the same names: the mean gradient of the cross-entropy over the client's records, or the update, which is
    the weights before local training minus the weights after it."""
    records: int
    """How many private records there are."""
    input_shape: tuple[int, ...]
    """(C, H, W) of images, (d,) of table rows."""
    classes: int
    training: LocalTraining | None = None
    """None: `shared` is a gradient. Otherwise `shared` is the update that this training gave."""
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    """Buffers before the round, such as running statistics of batch normalisation."""
    shared_buffers: Mapping[str, Tensor] = field(default_factory=dict)
    """Buffers after it, if the client shared them."""
    low: float = 0.0
    high: float = 1.0
    """The range of valid input values."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """The model takes (x - mean) / std per channel of inputs within [low, high]; empty: it takes them as they are."""
    labels: Tensor | None = None
    """(records,): known labels, if the rules of the game say so."""
    transform: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
    """A differentiable estimate of the client's protection, which an adaptive attacker applies to trial gradients."""
    public: Tensor | None = None
    """(n, *input_shape): records of the same distribution that everybody has, for priors; not the private ones."""


@dataclass(frozen=True)
class Reconstruction:
    """What an attack believes the private batch to be."""

    inputs: Tensor
    """(records, *input_shape) within [low, high], in any order."""
    labels: Tensor
    """(records,): belonging to `inputs`; -1 where the attack says nothing."""
    score: float
    """The attack's own loss; lower is better; comparable between reconstructions of one observation only."""
    trace: tuple[float, ...] = ()
    """The best loss so far, at equal distances over the run."""
    note: str = ""
    """What the attack has to say of its result, such as a certificate."""
    confident: Tensor | None = None
    """(records,) bool: inputs that the attack vouches for; None: it cannot tell."""


class GradientAttack(ABC):
    """A frozen dataclass whose fields are the attack's hyperparameters."""

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue, equation; and which variant this is."""

    @abstractmethod
    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One reconstruction for each observation; observations of one model and one size are worked on together.

        Raises Unsuited when an observation is not one that this attack can work from.
        """
