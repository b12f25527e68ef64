"""What the labels of a batch alone tell of its gradient or update, by public records. Loads torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.bundles import Bundle
from app.defences.gradients import Client, Shared
from app.defences.gradients.client import train
from app.tracks.gradient_leakage import clients, records
from app.tracks.gradient_leakage.clients import Place
from app.tracks.gradient_leakage.records import Records

MEMBERS = 100
"""Public records that stand for one private record."""
ORDERS = 4
"""Orders of the local steps over which the result is averaged, where the order matters."""


def common(place: Place) -> Bundle:
    """What clients with public records of the same labels share on average, (K, ...) by name.

    Who hands this in keeps every private record to itself, and tells the server nothing that it could not have computed
    from labels.
    """
    settings, network = place.settings, clients.model(place)
    labels = records.private(settings, place.seat, place.data)[1]
    public = records.parts(settings, place.seat, place.data).public
    generator = place.generator("gradient leakage: common order")
    orders = ORDERS if settings.SHARED == "update" and settings.LOCAL_BATCH else 1
    means = []
    for row in labels:
        crowd = Crowd(clients.client(place, network, *_crowd(public, row)))
        shares = clients.stacked(crowd.share(generator) for _ in range(orders))
        means.append({name: values.mean(axis=0) for name, values in shares.items()})
    return {name: np.stack([mean[name] for mean in means]) for name in means[0]}


@dataclass(frozen=True)
class Crowd:
    """A client each of whose records is replaced by many public ones of its class.

    Every step takes the mean over these, so the client follows the path that clients of such labels take on average.
    """

    client: Client
    """Its inputs are (records, MEMBERS, ...)."""

    def share(self, generator: torch.Generator) -> Shared:
        """The gradient or update of the crowd."""
        return train(self.client, generator, self._gradient)

    def _gradient(self, client: Client, parameters: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Shared:
        return client.gradient(parameters, inputs.flatten(0, 1), labels.repeat_interleave(inputs.shape[1]))


def _crowd(public: Records, labels: NDArray[np.int64]) -> tuple[NDArray, NDArray[np.int64]]:
    """(B, MEMBERS, ...) public records of each label, again and again where there are few, and the labels."""
    places = [np.resize(_members(public, label), MEMBERS) for label in labels]
    return public.inputs[np.stack(places)], labels


def _members(public: Records, label: int) -> NDArray[np.int64]:
    """The places of a class's public records, or of all of them if it has none."""
    found = np.flatnonzero(public.labels == label)
    return found if len(found) else np.arange(len(public))
