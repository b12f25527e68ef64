"""What goes into the convolutions before the linear layers, layer by layer, from the gradients of their weights.

Once the inputs of the first linear layer are known exactly, so is how the loss pulls at them. Behind a ReLU, a feature
that is not zero passes its pull on, so that the pull at the outputs of the last convolution is known too. The gradient
of its weights is then linear in its inputs, as are the outputs that are not zero; the outputs that are zero, and the
inputs, which came out of a ReLU themselves, are bounded from one side. For a small batch that is more than there are
unknowns: a convex problem with one solution, which leaves the layer before in the same position.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from app.attacks.gradients.base import Observation
from app.attacks.gradients.layers import Watch, probes
from app.attacks.gradients.scaling import logits, normalised

ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
DEFAULTS = (1, 0, 1, 1)
ZEROS = (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
"""Shares of the root mean square of a layer's inputs below which one may count as zero."""
DETERMINED = 0.6
"""Equations per unknown below which inputs are not looked for: bounds make up for a few that are missing."""
SOLVED = 1e-4
"""Relative misfit above which the inputs of a layer are not found."""
CONFIRMED = 0.1
"""Relative misfit of the gradient of the bias before, which nothing was fitted to, above which they are wrong.

One value that is wrongly taken for zero may miss a hundredth; inputs that are wrong miss a third and more.
"""
POWERS = 20
"""Power iterations for the largest singular value of an operator."""


@dataclass(frozen=True)
class Convolution:
    """One convolution with what was shared of it: outputs = inputs * weight + bias."""

    weight: Tensor
    bias: Tensor | None
    weight_gradient: Tensor
    bias_gradient: Tensor | None
    settings: tuple[Any, ...]
    """Stride, padding, dilation and groups."""
    shape: tuple[int, ...]
    """(C, H, W) of one input."""
    outputs: tuple[int, ...]
    """(C', H', W') of one output."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """(n, C', H', W'), before the ReLU."""
        return functional.conv2d(inputs, self.weight, self.bias, *self.settings)

    def pulled(self, pull: Tensor) -> Tensor:
        """(n, C, H, W): how the loss pulls at the inputs, for its pull at the outputs."""
        return conv2d_input((len(pull), *self.shape), self.weight, pull, *self.settings)

    def gradient(self, inputs: Tensor, pull: Tensor) -> Tensor:
        """That of the weights; linear in the inputs."""
        return conv2d_weight(inputs, self.weight.shape, pull, *self.settings)

    def returned(self, gradient: Tensor, pull: Tensor) -> Tensor:
        """The adjoint of `gradient` as a map of the inputs."""
        return conv2d_input((len(pull), *self.shape), gradient, pull, *self.settings)


@dataclass(frozen=True)
class Known:
    """What is known behind a row of convolutions with a ReLU after each: everything, if it has to be, of the batch."""

    layers: tuple[Convolution, ...]
    """Those whose inputs are unknown; the first takes the normalised images."""
    outputs: Tensor
    """(n, C, H, W): of the last of them, after its ReLU."""
    pull: Tensor
    """(n, C, H, W): of the loss at the outputs before the ReLU."""

    @property
    def equations(self) -> int:
        """Linear equations in the inputs of the last layer; those of outputs that are zero do not count."""
        return int((self.outputs > 0).sum()) + self.layers[-1].weight.numel()

    def features(self, taken: Tensor) -> tuple[Tensor, Tensor]:
        """For images as the model takes them: the outputs of the last layer before its ReLU, and its inputs."""
        values = taken
        for layer in self.layers[:-1]:
            values = layer(values).clamp_min(0)
        return self.layers[-1](values), values

    def unlike(self, inputs: Tensor) -> Tensor:
        """How far the last layer's gradient is from the one that was shared, relative to its length, as one row."""
        layer = self.layers[-1]
        gap = layer.gradient(inputs, self.pull) - layer.weight_gradient
        return gap.flatten() / layer.weight_gradient.norm().clamp_min(1e-15)


class _Convolutions(Watch):
    """Notes the convolutions, too, with their settings."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__(parameters)
        self.convolutions: list[tuple[dict[str, Any], Tensor]] = []

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = super().__torch_function__(func, types, args, kwargs)
        if func is functional.conv2d:
            given = dict(zip(ARGUMENTS, args, strict=False)) | (kwargs or {})
            self.convolutions.append((given, result))
        return result


def convolutions(observation: Observation, gradient: Mapping[str, Tensor]) -> tuple[Convolution, ...]:
    """The layers from the images to the head, if all are convolutions with a ReLU right after each; otherwise none.

    In single precision.
    """
    gradient = {name: value.float() for name, value in gradient.items()}
    first = next(iter(gradient.values()))
    inputs = probes(observation).to(first)
    weights = {name: value.detach().to(first) for name, value in observation.parameters.items()}
    names = {id(value): name for name, value in weights.items()}
    with torch.no_grad(), _Convolutions(weights) as seen:
        logits(observation, inputs, weights)
    values, found = normalised(observation, inputs), []
    for given, outputs in seen.convolutions:
        plain = not isinstance(given.get("padding"), str) and id(given["weight"]) in names
        if not plain or not _same(given["input"], values):
            return ()
        found.append(_convolution(given, outputs, weights, gradient, names))
        values = outputs.clamp_min(0)
    taken = any(_same(call.inputs, values.flatten(1)) for call in seen.calls[:1])
    return tuple(found) if taken else ()


def peeled(known: Known, steps: int) -> Known:
    """What is known before the last layers, as far as it can be confirmed; at least the first layer stays."""
    while len(known.layers) > 1:
        before = _peeled(known, steps)
        if before is None:
            break
        known = before
    return known


def _peeled(known: Known, steps: int) -> Known | None:
    layer, bias = known.layers[-1], known.layers[-2].bias_gradient
    if bias is None or known.equations < DETERMINED * len(known.outputs) * math.prod(layer.shape):
        return None
    inputs, misfit = solved(known, steps)
    if not misfit <= SOLVED:
        return None
    typical, pull = inputs.square().mean().sqrt(), layer.pulled(known.pull)
    masks = [inputs > share * typical for share in ZEROS]
    missed = [float(((pull * mask).sum((0, 2, 3)) - bias).norm()) for mask in masks]
    if min(missed) > CONFIRMED * float(bias.norm()):
        return None
    mask = masks[missed.index(min(missed))]
    return replace(known, layers=known.layers[:-1], outputs=inputs * mask, pull=pull * mask)


def solved(known: Known, steps: int) -> tuple[Tensor, float]:
    """The inputs (n, C, H, W) of the last layer, none of them negative, and the relative misfit that they leave.

    Projected gradients with Nesterov's acceleration and restarts (O'Donoghue and Candès, 2015, Foundations of
    Computational Mathematics). Outputs and gradient weigh alike, by the largest singular value of each map.
    """
    layer, wanted, pull = known.layers[-1], known.outputs, known.pull
    shape = (len(wanted), *layer.shape)
    none = replace(layer, bias=None)
    outer = _largest(shape, lambda a: layer.pulled(none(a)), wanted)
    inner = _largest(shape, lambda a: layer.returned(layer.gradient(a, pull), pull), wanted)
    share = outer / inner if inner > 0 else 0.0
    point = ahead = wanted.new_zeros(shape)
    speed, rest = 1.0, torch.inf
    size = float(wanted.square().sum() + share * layer.weight_gradient.square().sum())
    for _ in range(steps):
        missed = beyond(layer(ahead), wanted)
        unlike = layer.gradient(ahead, pull) - layer.weight_gradient
        rest = float(missed.square().sum() + share * unlike.square().sum())
        if rest <= (0.01 * SOLVED) ** 2 * size:
            break
        slope = layer.pulled(missed) + share * layer.returned(unlike, pull)
        moved = (ahead - slope / (2.0 * outer)).clamp_min(0)
        speed = 1.0 if float(((ahead - moved) * (moved - point)).sum()) > 0 else speed
        faster = 0.5 * (1.0 + (1.0 + 4.0 * speed**2) ** 0.5)
        ahead = moved + (speed - 1.0) / faster * (moved - point)
        point, speed = moved, faster
    return point, (rest / max(size, 1e-300)) ** 0.5


def beyond(values: Tensor, wanted: Tensor) -> Tensor:
    """How far values before a ReLU are from giving the wanted ones: below zero, any gives the same."""
    return torch.where(wanted > 0, values - wanted, values.clamp_min(0))


def _largest(shape: Sequence[int], squared: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """A bound on the largest eigenvalue of a positive map, by power iterations."""
    vector = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(like)
    value = 0.0
    for _ in range(POWERS):
        vector = squared(vector / vector.norm().clamp_min(1e-300))
        value = float(vector.norm())
    return 1.05 * value


def _convolution(
    given: Mapping[str, Any],
    outputs: Tensor,
    weights: Mapping[str, Tensor],
    gradient: Mapping[str, Tensor],
    names: Mapping[int, str],
) -> Convolution:
    weight, bias = names[id(given["weight"])], names.get(id(given.get("bias")))
    settings = tuple(given.get(name, usual) for name, usual in zip(ARGUMENTS[3:], DEFAULTS, strict=True))
    shapes = tuple(given["input"].shape[1:]), tuple(outputs.shape[1:])
    own, slope = (weights[bias], gradient[bias]) if bias else (None, None)
    return Convolution(weights[weight], own, gradient[weight], slope, settings, *shapes)


def _same(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and bool(torch.equal(left, right))
