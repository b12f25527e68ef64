"""The distance of gradients without the gradients of wide linear layers, which are most of the work of many networks.

Automatic differentiation does the rest; see `factors` for what takes the place of those gradients.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from app.attacks.gradients.distances import LAYERS, Distance
from app.attacks.gradients.factors import closed, dense_sums, factored_sums, meet, rows_of, split
from app.attacks.gradients.simulate import Weights, cross_entropy
from app.attacks.gradients.victims import Victims

KINDS = ("l2", "cosine")
"""The distances that need lengths and products only."""
WORTH, SMALL = 4, 1 << 14
"""A layer is factored if it has so many times more weights than its factors have values, and at least SMALL."""


class Ghost:
    """The distances of `Matching` for gradients of a model that is a plain sequence; see `suits`."""

    def __init__(self, victims: Victims, distance: Distance) -> None:
        """Factors the shared gradients, once."""
        self.victims, self.distance = victims, distance
        self.layers = tuple(leaves(victims.client.model))
        self.factored = frozenset(wide(victims, self.layers))
        target = victims.target
        self._rates = LAYERS[distance.layers](target)
        self._theirs = {name: tensor.flatten(1).square().sum(1) for name, tensor in target.items()}
        self._factors = {name: split(target[name], victims.first.records) for name in self.factored}

    @classmethod
    def suits(cls, victims: Victims, distance: Distance) -> bool:
        """Whether it gives these distances and is worth it."""
        first = victims.first
        if victims.training is not None or first.transform is not None or distance.kind not in KINDS:
            return False
        return plain(victims.client.model) and bool(wide(victims, tuple(leaves(victims.client.model))))

    @property
    def values(self) -> int:
        """How many values the gradient of one problem takes here."""
        shapes = {name: tensor.shape[1:] for name, tensor in self.victims.target.items()}
        records = self.victims.first.records
        return sum(records * sum(shape) if name in self.factored else shape.numel() for name, shape in shapes.items())

    def __call__(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """(P,): as `Matching`, differentiable by `x` and `y`."""
        dense, inputs, errors = self._found(x, y, index)
        kind, sums = self.distance.kind, []
        for name, found in dense.items():
            sums.append(dense_sums(found, self.victims.target[name][index], kind))
        for name in inputs:
            known = rows_of(self._factors[name], index)
            met = meet(inputs[name], errors[name], known)
            sums.append(factored_sums(inputs[name], errors[name], met, known, kind))
        names = (*dense, *inputs)
        rates = torch.stack([self._rates[name][index] for name in names], 1)
        theirs = (rates * torch.stack([self._theirs[name][index] for name in names], 1)).sum(1)
        return closed(kind, (rates[:, :, None] * torch.stack(sums, 1)).sum(1), theirs)

    def _found(self, x: Tensor, y: Tensor, index: Tensor) -> tuple[Weights, Weights, Weights]:
        """(P, ...): the gradients of what is not factored, and inputs and errors of what is."""
        victims = self.victims
        weights, buffers, own = victims.weights, victims.buffers, None
        if not victims.client.shared:
            weights, buffers = ({name: part[index] for name, part in each.items()} for each in (weights, buffers))
            own = 0
        if len(x) > 1:
            found: Any = vmap(self._one, in_dims=(own, own, 0, 0), randomness="different")(weights, buffers, x, y)
            return tuple(found)  # type: ignore[return-value]
        if own == 0:
            weights, buffers = ({name: part[0] for name, part in each.items()} for each in (weights, buffers))
        dense, inputs, errors = self._one(weights, buffers, x[0], y[0])
        return tuple({k: v[None] for k, v in part.items()} for part in (dense, inputs, errors))  # type: ignore[return-value]

    def _one(self, weights: Weights, buffers: Weights, x: Tensor, y: Tensor) -> tuple[Weights, Weights, Weights]:
        """Errors are gradients by nudges of the outputs, which are zero."""
        free = {name: tensor for name, tensor in weights.items() if name not in self.factored}
        nudges = {name: x.new_zeros(len(x), len(weights[name])) for name in self.factored}
        fixed = {name: weights[name] for name in self.factored} | buffers
        (dense, errors), inputs = grad(self._loss, argnums=(0, 1), has_aux=True)(free, nudges, fixed, x, y)
        return dense, inputs, errors

    def _loss(self, free: Weights, nudges: Weights, fixed: Weights, x: Tensor, y: Tensor) -> tuple[Tensor, Weights]:
        inputs: Weights = {}
        held = free | fixed
        for prefix, module in self.layers:
            name = f"{prefix}.weight"
            if name in nudges:
                inputs[name] = x
                x = nn.functional.linear(x, held[name], held.get(f"{prefix}.bias")) + nudges[name]
            else:
                own = {key: held[f"{prefix}.{key}"] for key in _names(module)}
                x = functional_call(module, own, (x,)) if own else module(x)
        return cross_entropy(x, y), inputs


def plain(model: nn.Module) -> bool:
    """Whether the model is a sequence of layers, and of such, each of which has its own weights and no hooks."""
    if type(model) is not nn.Sequential:
        return False
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    hooked = any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())
    return len(names) == len(list(model.parameters())) and not hooked


def leaves(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers in their order."""
    for name, module in model.named_children():
        if type(module) is nn.Sequential:
            yield from leaves(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _names(module: nn.Module) -> list[str]:
    return [name for name, _ in (*module.named_parameters(), *module.named_buffers())]


def wide(victims: Victims, layers: tuple[tuple[str, nn.Module], ...]) -> list[str]:
    """The weights of linear layers that are worth factoring; a layer of one row for each record follows a Flatten."""
    records, rowed = victims.first.records, len(victims.first.input_shape) == 1
    found = []
    for prefix, module in layers:
        rowed = rowed or (type(module) is nn.Flatten and module.start_dim == 1 and module.end_dim == -1)
        if rowed and type(module) is nn.Linear:
            count = module.weight.numel()
            if count >= max(SMALL, WORTH * records * sum(module.weight.shape)):
                found.append(f"{prefix}.weight")
    return found
