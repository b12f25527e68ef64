"""What every post-protection gets and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.defences.p2.directions import cosines, farthest, first_weight
from app.defences.p2.poison import poison
from app.training import Stack, logits

Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""
LAYERS = ("first", "all", "weights", "last")


def silent(share: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Shares:
    """What the clients own."""

    x: Tensor
    """(n, ...): all records, on the device of the models."""
    y: Tensor
    """(n,): their classes."""
    rows: Sequence[NDArray[np.int64]]
    """For each client the places of the records that its model was trained on."""
    held_out: Sequence[NDArray[np.int64]] = ()
    """For each client the places of records of its own that no model was trained on; empty if there are none."""


class PostProtection(ABC):
    """A frozen dataclass whose fields are its hyperparameters."""

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue, equation; and which variant this is."""

    @abstractmethod
    def protect(self, stack: Stack, shares: Shares, rng: np.random.Generator, progress: Progress = silent) -> Stack:
        """The clients' models after the additional round; model k is changed on the records of client k.

        Raises ValueError when the shares are not what the protection needs.
        """


def targets(stack: Stack, shares: Shares, epsilon: float, layers: str) -> list[Tensor]:
    """For each client the poisoned predictions (n_k, K) of its own model for its own records.

    `layers` are those whose gradients are to point away from the true ones: see `names`.
    """
    found = []
    for model, rows in enumerate(each_rows(shares.rows, shares.x.device)):
        own = stack.take(slice(model, model + 1))
        x, y = shares.x[rows][None], shares.y[rows][None]
        probabilities = logits(own, x, is_own=True).double().softmax(-1)
        aim = farthest(cosines(own, x, y, names(stack, layers)), y, probabilities.argmax(-1))
        poisoned, _ = poison(probabilities, aim, epsilon)
        found.append(poisoned[0])
    return found


def names(stack: Stack, layers: str) -> tuple[str, ...]:
    """The tensors of "first" (the first weight), "all", "weights" (all but biases), or "last" (the last layer)."""
    tensors = tuple(stack.parameters)
    if layers == "first":
        return first_weight(stack)
    if layers == "weights":
        return tuple(name for name in tensors if stack.parameters[name].ndim > 2)
    last = tensors[-1].rpartition(".")[0]
    return tensors if layers == "all" else tuple(name for name in tensors if name.rpartition(".")[0] == last)


def each_rows(rows: Sequence[NDArray[np.int64]], device: torch.device) -> Iterator[Tensor]:
    """The places of each client's records as tensors."""
    return (torch.as_tensor(own, device=device) for own in rows)
