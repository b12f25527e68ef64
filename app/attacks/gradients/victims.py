"""Several observations as one: their weights and gradients stacked, checked, on the device."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.attacks.gradients.base import LocalTraining, Observation, Unsuited
from app.attacks.gradients.simulate import Client, Weights, attackable, steps

CONVERTIBLE = 1
"""Updates of this many steps are turned into the gradient that they are a multiple of."""


@dataclass(frozen=True)
class Victims:
    """V observations of one model and size. In model space an input is (x - mean) / std."""

    client: Client
    weights: Weights
    """(V, ...), or without the leading axis where all victims have the same."""
    buffers: Weights
    target: Weights
    """(V, ...): the gradients, or the updates."""
    training: LocalTraining | None
    """None: the targets are gradients."""
    observations: tuple[Observation, ...]
    mean: Tensor
    std: Tensor
    """Shaped to broadcast with an input."""

    def __len__(self) -> int:
        return len(self.observations)

    @property
    def first(self) -> Observation:
        """What all of them have in common can be read from any of them."""
        return self.observations[0]

    @property
    def box(self) -> tuple[Tensor, Tensor]:
        """The range of valid inputs in model space, shaped to broadcast with an input."""
        return (self.first.low - self.mean) / self.std, (self.first.high - self.mean) / self.std

    def clip(self, x: Tensor) -> Tensor:
        """The nearest valid inputs in model space."""
        low, high = self.box
        return torch.minimum(torch.maximum(x, low), high)

    def outside(self, x: Tensor) -> Tensor:
        """Inputs of model space as they are outside the model, within their range."""
        return (x * self.std + self.mean).clamp(self.first.low, self.first.high)

    def inside(self, x: Tensor) -> Tensor:
        """Inputs as the model takes them."""
        return (x - self.mean) / self.std

    def take(self, index: Tensor) -> tuple[Weights, Weights, Weights]:
        """Weights, buffers and targets of the victims at `index` (P,)."""
        target = {name: tensor[index] for name, tensor in self.target.items()}
        if self.client.shared:
            return self.weights, self.buffers, target
        weights = {name: tensor[index] for name, tensor in self.weights.items()}
        return weights, {name: tensor[index] for name, tensor in self.buffers.items()}, target


def groups(observations: Sequence[Observation]) -> Iterator[list[int]]:
    """Places of the observations that can be worked on together: of one model, size, training and transform."""
    found: dict[object, list[int]] = {}
    for place, one in enumerate(observations):
        known = one.labels is not None
        key = (id(one.model), one.records, one.input_shape, one.classes, one.training, id(one.transform), known)
        found.setdefault((*key, one.low, one.high, one.mean, one.std), []).append(place)
    yield from found.values()


def stack(observations: Sequence[Observation], device: str = "cpu", dtype: torch.dtype = torch.float32) -> Victims:
    """The observations of one of the `groups` as victims; tensors are copied, never referred to.

    Raises Unsuited when an observation contradicts itself.
    """
    for one in observations:
        _check(one)
    first = observations[0]
    shared = all(_same(one.parameters, first.parameters) and _same(one.buffers, first.buffers) for one in observations)
    weights = [{name: one.parameters[name] for name in first.parameters} for one in observations]
    targets = [{name: one.shared[name] for name in first.parameters} for one in observations]
    target, start = _stacked(targets, device, dtype), _stacked(weights[:1] if shared else weights, device, dtype)
    training = first.training
    if training is not None and training.steps(first.records) <= CONVERTIBLE:
        rate, decay, training = training.rate(0), training.weight_decay, None
        target = {name: target[name] / rate - decay * start[name] for name in target}
    buffers = _stacked([one.buffers for one in (observations[:1] if shared else observations)], device, dtype)
    if shared:
        start, buffers = ({name: tensor[0] for name, tensor in each.items()} for each in (start, buffers))
    shape = (-1, *[1] * (len(first.input_shape) - 1))
    mean, std = (torch.tensor(values, dtype=dtype, device=device).reshape(shape) for values in _scale(first))
    client = Client(attackable(first.model, device).to(dtype), shared)
    return Victims(client, start, buffers, target, training, tuple(observations), mean, std)


def _check(one: Observation) -> None:
    if one.records < 1 or one.classes < 2:
        raise Unsuited(f"{one.records} records of {one.classes} classes leave nothing to look for")
    if not one.low < one.high:
        raise Unsuited(f"the range of the inputs [{one.low}, {one.high}] is empty")
    if one.training is not None and any(step.rate == 0.0 for step in steps(one.training, one.records)):
        raise Unsuited("a learning rate of 0 leaves no trace in the update")
    for name, tensor in one.parameters.items():
        if name not in one.shared or one.shared[name].shape != tensor.shape:
            raise Unsuited(f"what was shared does not match the weight {name} of shape {tuple(tensor.shape)}")
        if not bool(one.shared[name].isfinite().all()):
            raise Unsuited(f"what was shared for {name} is not finite")


def _same(some: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return some is other or all(some[name] is other[name] or torch.equal(some[name], other[name]) for name in other)


def _stacked(each: Sequence[Mapping[str, Tensor]], device: str, dtype: torch.dtype) -> Weights:
    """New tensors with a leading axis; whole numbers, such as the batches counted by a normalisation, stay whole."""
    found: Weights = {}
    for name, one in each[0].items():
        kind = dtype if one.is_floating_point() else one.dtype
        found[name] = torch.stack([tensors[name].detach().to(device, kind) for tensors in each])
    return found


def _scale(one: Observation) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return one.mean or (0.0,), one.std or (1.0,)
