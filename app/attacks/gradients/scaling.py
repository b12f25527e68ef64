"""One gradient from whatever a client shared, and the input scaling that its model expects."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from app.attacks.gradients.base import LocalTraining, Observation

Tensors = dict[str, Tensor]


def is_exact(observation: Observation) -> bool:
    """Whether `as_gradient` is the very gradient at the weights that the server sent."""
    training = observation.training
    return training is None or training.steps(observation.records) == 1


def as_gradient(observation: Observation, device: str = "cpu", dtype: torch.dtype | None = None) -> Tensors:
    """The mean gradient that the client followed, by name; new tensors.

    A gradient stays as it is. An update of SGD in PyTorch's form is divided by the learning rates, as momentum
    multiplies them, and weight decay is taken off. After one step that is the gradient (the first step has no
    momentum yet); after several it is their weighted mean along the path, with decay on weights that are taken to
    have moved on a straight line from the first to the last.
    """
    shared = {name: value.detach().to(device, dtype or value.dtype) for name, value in observation.shared.items()}
    if observation.training is None:
        return {name: value.clone() for name, value in shared.items()}
    reach = step_reach(observation.training, observation.records)
    decay, total = observation.training.weight_decay, sum(reach)
    # The decay that step s saw acted on the first weights less the share s / T of the way.
    late = sum(weight * step for step, weight in enumerate(reach)) / len(reach)
    mean = {}
    for name, moved in shared.items():
        start = observation.parameters[name].detach().to(device, moved.dtype)
        mean[name] = (moved - decay * (total * start - late * moved)) / total
    return mean


def step_reach(training: LocalTraining, records: int) -> tuple[float, ...]:
    """How far the whole update moved per unit of each step's gradient: its own rate, and later ones by momentum."""
    steps = training.steps(records)
    reach, carried = [0.0] * steps, 0.0
    for step in reversed(range(steps)):
        carried = training.rate(step) + training.momentum * carried
        reach[step] = carried
    return tuple(reach)


def total_rate(training: LocalTraining, records: int) -> float:
    """What a gradient that stays the same would be multiplied by: the sum of the rates, with momentum's share."""
    return sum(step_reach(training, records))


def normalised(observation: Observation, inputs: Tensor) -> Tensor:
    """What the model takes for inputs (n, *input_shape) in the range of the records."""
    mean, std = _channels(observation, inputs)
    return (inputs - mean) / std


def denormalised(observation: Observation, taken: Tensor) -> Tensor:
    """The inputs (n, *input_shape) of which the model took `taken`; not clamped."""
    mean, std = _channels(observation, taken)
    return taken * std + mean


def logits(observation: Observation, inputs: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
    """(n, classes): the model's answer to inputs in the range of the records; differentiable in both."""
    own = observation.parameters if parameters is None else parameters
    weights = {name: _like(value, inputs) for name, value in own.items()}
    # Layers in training mode write into their buffers: they get copies.
    buffers = {name: _like(value, inputs).clone() for name, value in observation.buffers.items()}
    answer: Tensor = functional_call(observation.model, (weights, buffers), (normalised(observation, inputs),))
    return answer


def gradient_at(observation: Observation, inputs: Tensor, labels: Tensor) -> Tensors:
    """The mean gradient of the cross-entropy over records (n, *input_shape) with labels (n,), in the inputs' type."""
    weights = {name: _like(value, inputs).detach() for name, value in observation.parameters.items()}
    leaves = {name: value.clone().requires_grad_(True) for name, value in weights.items()}
    with torch.enable_grad():
        loss = cross_entropy(logits(observation, inputs.detach(), leaves), labels)
        slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    found = zip(leaves, slopes, strict=True)
    return {name: torch.zeros_like(weights[name]) if slope is None else slope for name, slope in found}


def residual(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """The relative distance of two gradients with the same names, over all their entries together."""
    pairs = [(found[name].double(), wanted[name].double()) for name in wanted]
    missed = sum(float((left - right).square().sum()) for left, right in pairs)
    whole = sum(float(right.square().sum()) for _, right in pairs)
    return float((missed / max(whole, 1e-300)) ** 0.5)


def _like(value: Tensor, inputs: Tensor) -> Tensor:
    """On the inputs' device, in their type if it is a floating one; the very tensor where nothing changes."""
    return value.to(inputs.device, inputs.dtype) if value.is_floating_point() else value.to(inputs.device)


def _channels(observation: Observation, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation in a shape that fits inputs (n, C, ...)."""
    shape = (1, -1, *[1] * (len(observation.input_shape) - 1))
    mean = inputs.new_tensor(observation.mean or (0.0,)).reshape(shape)
    std = inputs.new_tensor(observation.std or (1.0,)).reshape(shape)
    return mean, std
