"""A federation of one draw, and what it gives away."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.defences.p2 import Shares
from app.experiments.federated_protection.parameters import Parameters
from app.experiments.federated_protection.samples import Sample
from app.federated import Data, FederatedTraining, History, Local, average, honest, run
from app.record_sets import RecordSet
from app.training import Stack, logits, perceptron, seeded, small_cnn

Floats = NDArray[np.floating[Any]]
HIDDEN = {"perceptron": (128,), "deep": (500, 300)}


@dataclass(frozen=True)
class Snapshot:
    """The models after one round."""

    server: Stack
    """The global model: the average."""
    clients: Stack
    """What the clients sent."""


def as_it_is(probabilities: Floats) -> Floats:
    """The answers of an unprotected model."""
    return probabilities


@dataclass(frozen=True)
class Outcome:
    """What a federation gives away under a protection."""

    final: Stack
    """The global model."""
    clients: Stack
    """What the clients sent last."""
    answers: Callable[[Floats], Floats] = as_it_is
    """Probabilities of the global model (n, K) -> what it answers instead."""
    note: str = ""
    """What the protection has to say, such as a counted epsilon."""
    earlier: tuple[Snapshot, ...] = ()
    """What was seen before, round by round."""

    @property
    def seen(self) -> tuple[Snapshot, ...]:
        """All that was seen, to the last."""
        return (*self.earlier, Snapshot(self.final, self.clients))


@dataclass(frozen=True)
class Federation:
    """One draw of the study, trained as often as needed from the same weights with the same batches."""

    records: RecordSet
    sample: Sample
    parameters: Parameters
    seed: int
    device: str
    send: Callable[[int, Stack], Stack] = honest
    """What the server sends in a round, counted from 0, in place of the average."""

    @cached_property
    def training(self) -> FederatedTraining:
        """How the federation trains."""
        names = ("rounds", "epochs", "batch", "rate", "momentum", "weight_decay", "decay", "optimiser", "is_shuffled")
        return FederatedTraining(**{name: getattr(self.parameters, name) for name in names})

    @cached_property
    def plain(self) -> History:
        """The federation without a protection."""
        return self.trained()

    def model(self) -> nn.Module:
        """The network with its first weights."""
        records, name = self.records, self.parameters.model
        with seeded(self.seed):
            if name == "cnn":
                return small_cnn(records.shape, records.classes)
            return perceptron(records.shape, records.classes, HIDDEN[name])

    def trained(self, model: nn.Module | None = None, local: Local | None = None) -> History:
        """A federation, perhaps of another model or with other local training."""
        data = Data(self.records.x[self.sample.members], self.records.y[self.sample.members])
        rng, shares = np.random.default_rng(self.seed), self.sample.shares
        return run(model or self.model(), shares, data, self.training, rng, self.device, local=local, send=self.send)

    @cached_property
    def shares(self) -> Shares:
        """What the clients own, as post-protections take it."""
        members = self.sample.members
        return Shares(
            torch.tensor(self.records.x, device=self.device),
            torch.tensor(self.records.y, device=self.device),
            tuple(members[rows] for rows in self.sample.shares.rows),
            self.sample.held_out,
        )

    @cached_property
    def held_out(self) -> NDArray[np.int64]:
        """The held-out records of all clients."""
        return np.concatenate(self.sample.held_out)

    def probabilities(self, stack: Stack, rows: NDArray[np.int64]) -> Floats:
        """(n, K): what one model says of the records at these places."""
        found = logits(stack, torch.tensor(self.records.x[rows], device=self.device))[0]
        probabilities: Floats = found.double().softmax(-1).cpu().numpy()
        return probabilities


def snapshots(history: History) -> tuple[Snapshot, ...]:
    """The models after every round of a federation; what a server sent may not be what it had averaged."""
    return tuple(Snapshot(average(each.after, each.sizes), each.after) for each in history.rounds)


def outcome_of(history: History) -> Outcome:
    """What a federation gives away that nothing comes after."""
    return Outcome(history.final, history.local, earlier=snapshots(history)[:-1])
