"""Protections that are a matter of how a client trains: more local steps, more records in one update."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Client, Shared, Steps
from app.parameters import parameter


@dataclass(frozen=True)
class LocalSteps(GradientDefence):
    """Takes several small local steps; who must share a gradient shares the mean gradient along the way."""

    title: ClassVar[str] = "More local steps"
    source: ClassVar[str] = (
        "McMahan, Moore, Ramage, Hampson and Agüera y Arcas, 2017, AISTATS, algorithm 1 (FedAvg); as a defence in "
        "Wei et al., 2020, ESORICS (a framework for evaluating gradient leakage attacks)"
    )

    strength: int = parameter(4, "Times that the records are passed over.", minimum=1, maximum=100)
    batch: int = parameter(1, "Records of one step; 0: all of them.", minimum=0, maximum=10_000)
    rate: float = parameter(0.1, "Learning rate of a client that must share a gradient.", minimum=1e-6, maximum=10.0)

    def prepare(self, client: Client, generator: torch.Generator) -> Client:
        """The client with more steps; one that shares updates keeps its learning rate."""
        rate = self.rate if client.steps is None else client.steps.rate
        epochs = self.strength * (1 if client.steps is None else client.steps.epochs)
        return replace(client, steps=Steps(epochs, self.batch, rate))

    def protect(self, client: Client, generator: torch.Generator) -> Shared:
        """The update, divided by the learning rate and the number of steps where a gradient is asked for."""
        update = super().protect(client, generator)
        if client.steps is not None:
            return update
        taken = Steps(self.strength, self.batch, self.rate)
        scale = 1.0 / (self.rate * taken.count(len(client)))
        return {name: values * scale for name, values in update.items()}


@dataclass(frozen=True)
class LargerBatch(GradientDefence):
    """Clients pool their records in groups; each of a group hands in what the group's records give."""

    title: ClassVar[str] = "Larger batch"
    source: ClassVar[str] = (
        "Zhu, Liu and Han, 2019, NeurIPS, section 5.3, who name large batches as a defence; "
        "variant: the records come from clients that trust each other"
    )

    strength: int = parameter(2, "Clients of one group.", minimum=2, maximum=1000)

    def protect_all(self, clients: Sequence[Client], generator: torch.Generator) -> list[Shared]:
        """What each client shares; the last group may be smaller."""
        shares: list[Shared] = []
        for start in range(0, len(clients), self.strength):
            group = clients[start : start + self.strength]
            inputs = torch.cat([client.inputs for client in group])
            labels = torch.cat([client.labels for client in group])
            share = self.protect(group[0].with_records(inputs, labels), generator)
            shares += [share] * len(group)
        return shares
