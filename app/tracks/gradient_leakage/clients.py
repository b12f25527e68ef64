"""The clients of a round: the issued model, each private batch, and what honest training shares. Loads torch."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from app.attacks.gradients import networks
from app.bundles import Bundle
from app.defences.gradients import Client, Shared, Steps
from app.defences.gradients.client import train
from app.tracks.base import Data, Seat
from app.tracks.gradient_leakage import records

if TYPE_CHECKING:
    from app.tracks.gradient_leakage.settings import Settings

WARM_UP_BATCH, WARM_UP_RATE = 64, 2e-3


@dataclass(frozen=True)
class Place:
    """A seat in a round with its settings and its data."""

    settings: "Settings"
    seat: Seat
    data: Data | None

    def generator(self, purpose: str, *, shared: bool = False) -> torch.Generator:
        """Torch's random numbers for this purpose: the team's, or those of all teams."""
        rng = self.seat.shared(purpose) if shared else self.seat.own(purpose)
        return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))


def model(place: Place) -> nn.Module:
    """The issued model with its initial weights, which take no gradient."""
    parts = records.parts(place.settings, place.seat, place.data)
    return loaded(place.settings.MODEL, parts.shape, parts.classes, weights(place))


def loaded(name: str, shape: tuple[int, ...], classes: int, given: Mapping[str, NDArray]) -> nn.Module:
    """The network of this name with these weights, on the CPU."""
    network = networks.build(name, shape, classes, np.random.default_rng(0))
    network.load_state_dict({key: torch.tensor(values) for key, values in given.items()})
    return network.requires_grad_(False)


def weights(place: Place) -> dict[str, NDArray[np.float32]]:
    """The initial weights by name, the same for all teams of the round."""
    return _weights(replace(place, seat=Seat(place.seat.round)))


def clients(place: Place) -> list[Client]:
    """One client for each of the team's private batches."""
    inputs, labels = records.private(place.settings, place.seat, place.data)
    network = model(place)
    return [client(place, network, *batch) for batch in zip(inputs, labels, strict=True)]


def client(place: Place, network: nn.Module, inputs: NDArray, labels: NDArray) -> Client:
    """A client with this model and these records."""
    parameters = {name: values.detach() for name, values in network.named_parameters()}
    return Client(network, parameters, torch.tensor(inputs), torch.tensor(labels), steps(place.settings))


def truth(place: Place) -> Bundle:
    """What the clients share without protection, (K, ...) by name."""
    generator = place.generator("gradient leakage: local order")
    return stacked(train(client, generator) for client in clients(place))


def steps(settings: "Settings") -> Steps | None:
    """The local training of a client; None when it shares a gradient."""
    if settings.SHARED == "gradient":
        return None
    return Steps(settings.LOCAL_EPOCHS, settings.LOCAL_BATCH, settings.LEARNING_RATE)


def stacked(shares: Iterable[Shared]) -> Bundle:
    """What several clients share as arrays (K, ...) by name."""
    listed = list(shares)
    return {name: torch.stack([share[name] for share in listed]).numpy() for name in listed[0]}


@functools.lru_cache(maxsize=8)
def _weights(place: Place) -> dict[str, NDArray[np.float32]]:
    parts = records.parts(place.settings, place.seat, place.data)
    rng = place.seat.shared("gradient leakage: weights")
    network = networks.build(place.settings.MODEL, parts.shape, parts.classes, rng)
    if place.settings.WARM_UP:
        _warm_up(network, parts.public, place)
    return {name: values.detach().numpy() for name, values in network.named_parameters()}


def _warm_up(network: nn.Module, public: records.Records, place: Place) -> None:
    """Some passes over the public records."""
    x, y = torch.tensor(public.inputs), torch.tensor(public.labels)
    generator = place.generator("gradient leakage: warm-up", shared=True)
    optimiser = torch.optim.Adam(network.parameters(), WARM_UP_RATE)
    for _ in range(place.settings.WARM_UP):
        for rows in torch.randperm(len(x), generator=generator).split(WARM_UP_BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimiser.step()
