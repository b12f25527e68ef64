"""What every membership attack gets and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""


def silent(share: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Records:
    """n labelled records."""

    x: NDArray[np.float32]
    """(n, ...): the inputs as the target takes them."""
    y: NDArray[np.int64]
    """(n,): classes from 0."""

    def __len__(self) -> int:
        """The number of records."""
        return len(self.y)

    def take(self, places: NDArray[Any]) -> "Records":
        """The records at these places (indices or a mask)."""
        return Records(self.x[places], self.y[places])


@dataclass(frozen=True)
class Target:
    """The attacked classifier.

    `logits` is what a black-box attacker has: (n, ...) inputs to (n, classes) finite logits, in chunks, without a
    gradient. `differentiable` is the same function on tensors, for white-box attacks; None if only answers are given.
    """

    classes: int
    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    differentiable: Callable[[Any], Any] | None = None
    parameters: dict[str, Any] | None = None
    """Name -> tensor of the trained weights, for white-box attacks; see `forward`."""
    forward: Callable[[dict[str, Any], Any], Any] | None = None
    """(weights, inputs) -> logits as a pure function, so that `torch.func` can differentiate it by the weights."""


class MembershipAttack(ABC):
    """A frozen dataclass whose fields are the attack's hyperparameters."""

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue, equation; and which variant this is."""

    @abstractmethod
    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) finite scores of the candidates, higher for a member.

        `population` are labelled records of the same distribution of which none was in the target's training data.
        """
