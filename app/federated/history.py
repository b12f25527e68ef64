"""What a federation leaves behind: for every round what the server sent and what each client sent back."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from app.federated.training import FederatedTraining
from app.training import Stack

Integers = NDArray[np.int64]
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Round:
    """One round as the server, and an attacker in its place, observes it."""

    number: int
    before: Stack
    """One model: what the server sent."""
    after: Stack
    """m models: what the participants sent back, in the order of `clients`."""
    clients: Integers
    """(m,): the numbers of the participants."""
    sizes: Integers
    """(m,): how many records each of them trained on."""
    seeds: Integers
    """(m,): `app.training.epochs_of(rows, recipe, seed)` gives the batches that a client took."""
    rate: float
    """The learning rate of this round."""
    accuracy: float | None = None
    """Of the average of this round on the test records; None without test records."""
    local_accuracies: tuple[float, ...] = ()
    """Of each participant's model on its own records."""

    @property
    def updates(self) -> Weights:
        """Name -> (m, ...): the weights before the round minus those after it, as `app.attacks.gradients` has it."""
        return {name: self.before.parameters[name] - after for name, after in self.after.parameters.items()}

    def update(self, client: int) -> Weights:
        """Name -> tensor: what the client with this number shared. Raises ValueError if it took no part."""
        place = self.place(client)
        return {name: update[place] for name, update in self.updates.items()}

    def place(self, client: int) -> int:
        """Where a client stands among the participants. Raises ValueError if it took no part."""
        found = np.flatnonzero(self.clients == client)
        if not len(found):
            raise ValueError(f"client {client} took no part in round {self.number}")
        return int(found[0])

    def only(self, clients: Integers | list[int]) -> "Round":
        """The same round with what these clients sent; the others are forgotten."""
        kept = [self.place(int(client)) for client in clients]
        local = tuple(self.local_accuracies[place] for place in kept) if self.local_accuracies else ()
        return replace(
            self,
            after=self.after.take(kept),
            clients=self.clients[kept],
            sizes=self.sizes[kept],
            seeds=self.seeds[kept],
            local_accuracies=local,
        )


@dataclass(frozen=True)
class History:
    """All rounds, and the model at their end."""

    training: FederatedTraining
    rounds: tuple[Round, ...]
    final: Stack
    """One model."""

    @property
    def local(self) -> Stack:
        """The participants' models of the last round."""
        return self.rounds[-1].after
