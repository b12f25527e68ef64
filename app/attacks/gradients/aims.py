"""What is known of the images of a batch behind the layers of a model, and how far images miss it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from app.attacks.gradients.base import Observation
from app.attacks.gradients.layers import Head, LinearCall, find_head, probes, watched
from app.attacks.gradients.peeling import Known, beyond
from app.attacks.gradients.scaling import normalised
from app.attacks.gradients.spear import Recovered

NOISE = 1e-6
"""Features below this share of the record's largest, or ten times what they miss, count as zero."""


class Aim(ABC):
    """What is known of the images of a batch."""

    @abstractmethod
    def residuals(self, inputs: Tensor) -> Tensor:
        """(m,): what images (n, *input_shape) miss of it, differentiable twice; zeros for the private ones."""

    @property
    @abstractmethod
    def equations(self) -> int:
        """How many of them are equations, not bounds."""

    def misfit(self, inputs: Tensor) -> Tensor:
        """The sum of their squares."""
        return self.residuals(inputs).square().sum()


@dataclass(frozen=True)
class Features(Aim):
    """The inputs of the first linear layer, at the end of any differentiable map from images."""

    observation: Observation
    opened: int
    """The last ReLU before the features, if it can be taken away; otherwise -1."""
    place: int
    """Which of the linear layers takes the features."""
    wanted: Tensor
    """(n, d)."""

    @property
    def equations(self) -> int:
        """All features, but those that are zero because of the last ReLU."""
        return self.wanted.numel() if self.opened < 0 else int((self.wanted > 0).sum())

    def __call__(self, inputs: Tensor) -> Tensor:
        """(n, d), before the last ReLU where that is possible."""
        seen, _ = watched(self.observation, inputs, self.opened)
        return seen.calls[self.place].inputs

    def residuals(self, inputs: Tensor) -> Tensor:
        """Each image's distances, relative to the length of what is wanted of it."""
        found = self(inputs)
        return _relative(found - self.wanted if self.opened < 0 else beyond(found, self.wanted), self.wanted)


@dataclass(frozen=True)
class Layers(Aim):
    """What peeling has left: the outputs of a row of convolutions, and the gradient of the last of them."""

    observation: Observation
    known: Known
    weight: float

    @property
    def equations(self) -> int:
        """Those of the last layer, its gradient only if it counts."""
        return self.known.equations if self.weight else int((self.known.outputs > 0).sum())

    def residuals(self, inputs: Tensor) -> Tensor:
        """As those of features, with the relative distances of the gradient, whose squares count by `weight`."""
        found, before = self.known.features(normalised(self.observation, inputs))
        missed = _relative(beyond(found, self.known.outputs), self.known.outputs)
        return torch.cat([missed, self.weight**0.5 * self.known.unlike(before)]) if self.weight else missed


def positive(found: Recovered) -> Tensor:
    """(n, d): the features, with those that may be zero made so."""
    wanted = found.inputs.float()
    noise = max(NOISE, 10.0 * found.residual if found.certified else 0.0)
    return torch.where(wanted > noise * wanted.amax(1, keepdim=True), wanted, 0.0)


def head_call(observation: Observation, inputs: Tensor) -> tuple[int, LinearCall]:
    """Which of the linear layers begins the head of the model, and what it does with the inputs."""
    head = find_head(observation)
    assert isinstance(head, Head), "the model has a head, since its layers were read"  # noqa: S101 (checked before)
    with torch.no_grad():
        seen, _ = watched(observation, inputs)
    place = len(seen.calls) - len(head.calls)
    return place, seen.calls[place]


def of_features(observation: Observation, wanted: Tensor) -> Features:
    """The features that the head of the model takes; without their ReLU if max-pooling at most comes after it."""
    inputs = probes(observation).to(wanted)
    place, call = head_call(observation, inputs)
    plain = Features(observation, -1, place, wanted)
    if not call.rectified:
        return plain
    opened = Features(observation, call.rectified - 1, place, wanted)
    with torch.no_grad():
        fits = torch.allclose(opened(inputs).clamp_min(0), call.inputs, atol=1e-6)
    return opened if fits else plain


def _relative(gap: Tensor, wanted: Tensor) -> Tensor:
    """The distances (n, ...) of n records, relative to the lengths of what is wanted, as one row."""
    return (gap.flatten(1) / wanted.flatten(1).norm(dim=1, keepdim=True).clamp_min(1e-15)).flatten()
