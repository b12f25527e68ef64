"""What every protection of shared gradients has in common."""

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from app.defences.gradients.client import Client, Gradient, Shared, train


class GradientDefence(ABC):
    """A protection of what a client shares: a frozen dataclass whose fields are its settings.

    A defence changes one of four things, in the order in which a round meets them: the client's rule and records, the
    gradient of each step, the finished gradient or update, or what several clients hand in together.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue, equation; and which variant this is."""

    def protect(self, client: Client, generator: torch.Generator) -> Shared:
        """What the client shares under this defence; the same generator state gives the same numbers.

        Raises ValueError when the defence cannot work on this client's model or records.
        """
        prepared = self.prepare(client, generator)
        shared = train(prepared, generator, self._step(generator))
        return self.finish(prepared, self.transform(shared, generator))

    def protect_all(self, clients: Sequence[Client], generator: torch.Generator) -> list[Shared]:
        """What each of the clients of a round shares, in their order."""
        return [self.protect(client, generator) for client in clients]

    def prepare(self, client: Client, generator: torch.Generator) -> Client:
        """The client as it trains: with other records, another rule or another model."""
        return client

    def gradient(
        self,
        client: Client,
        parameters: Mapping[str, Tensor],
        records: tuple[Tensor, Tensor],
        generator: torch.Generator,
    ) -> Shared:
        """The gradient of one local step over `records`, which are inputs and labels."""
        return client.gradient(parameters, *records)

    def transform(self, shared: Mapping[str, Tensor], generator: torch.Generator) -> Shared:
        """What is sent instead of the finished gradient or update; needs neither records nor model.

        An attacker who knows the defence can apply this to trial gradients.
        """
        return dict(shared)

    def finish(self, client: Client, shared: Shared) -> Shared:
        """A last change that needs the client's records or its model."""
        return shared

    def _step(self, generator: torch.Generator) -> Gradient:
        def step(client: Client, parameters: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Shared:
            return self.gradient(client, parameters, (inputs, labels), generator)

        return step
