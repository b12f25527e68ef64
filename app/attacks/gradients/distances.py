"""How far two gradients are apart: for many pairs at once, free of their scale, 0 only where they agree.

Gradients are dictionaries of tensors (P, ...) by name; every distance is (P,). A layer is the module that a weight and
its bias belong to.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
TINY = 1e-30
"""Keeps the distance to a gradient of zeros finite."""


@dataclass(frozen=True)
class Distance:
    """A distance and the weights of the layers in it."""

    kind: str = "l2"
    """One of KINDS."""
    layers: str = "equal"
    """One of LAYERS."""

    def __call__(self, found: Weights, target: Weights) -> Tensor:
        """(P,): the distance of each found gradient to its target."""
        return KINDS[self.kind](found, target, LAYERS[self.layers](target))


def layer(name: str) -> str:
    """The module that a parameter belongs to."""
    return name.rpartition(".")[0]


def _total(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
    """(P,): the weighted sum over all entries of all tensors."""
    return sum((weights[name] * value.flatten(1).sum(1) for name, value in values.items()), torch.zeros(()))


def l2(found: Weights, target: Weights, weights: Weights) -> Tensor:
    """The squared distance as a share of the squared length of the target (DLG's objective, free of its scale)."""
    apart = _total(weights, {name: (found[name] - target[name]).square() for name in target})
    return apart / (_total(weights, {name: target[name].square() for name in target}) + TINY)


def l1(found: Weights, target: Weights, weights: Weights) -> Tensor:
    """The absolute distance as a share of the target's."""
    apart = _total(weights, {name: (found[name] - target[name]).abs() for name in target})
    return apart / (_total(weights, {name: target[name].abs() for name in target}) + TINY)


def cosine(found: Weights, target: Weights, weights: Weights) -> Tensor:
    """One minus the cosine of the angle between all entries taken together (Geiping et al., 2020, eq. 4)."""
    along = _total(weights, {name: found[name] * target[name] for name in target})
    mine = _total(weights, {name: found[name].square() for name in target})
    theirs = _total(weights, {name: target[name].square() for name in target})
    return 1.0 - along / ((mine + TINY).sqrt() * (theirs + TINY).sqrt())


def _equal(target: Weights) -> Weights:
    return {name: torch.ones(len(tensor), device=tensor.device, dtype=tensor.dtype) for name, tensor in target.items()}


def _early(target: Weights) -> Weights:
    """Every layer by e to the minus its number, 1 for the first one (Dimitrov et al., 2022)."""
    order = {module: turn for turn, module in enumerate(dict.fromkeys(map(layer, target)))}
    return {name: math.exp(-order[layer(name)]) * one for name, one in _equal(target).items()}


def _balanced(target: Weights) -> Weights:
    """Every layer by the inverse of its squared length, so that no layer outweighs the others."""
    lengths: dict[str, Tensor] = {}
    for name, tensor in target.items():
        lengths[layer(name)] = lengths.get(layer(name), torch.zeros(())) + tensor.flatten(1).square().sum(1)
    largest = torch.stack(list(lengths.values())).amax(0)
    # A layer that got no gradient would otherwise count without bound.
    return {name: 1.0 / lengths[layer(name)].clamp(min=1e-6 * largest + TINY) for name in target}


KINDS: Mapping[str, Callable[[Weights, Weights, Weights], Tensor]] = MappingProxyType(
    {"l2": l2, "cosine": cosine, "l1": l1}
)
LAYERS: Mapping[str, Callable[[Weights], Weights]] = MappingProxyType(
    {"equal": _equal, "early": _early, "balanced": _balanced}
)
