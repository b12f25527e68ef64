"""The distance of gradients without the gradients of wide linear layers, which are most of the work of many networks.

With inputs h (B, d) and errors e (B, m) of its outputs, a linear layer's gradient is e^T h. Its squared length is the
sum of (e e^T) * (h h^T) and its product with a matrix G that of e * (h G^T), so that no (m, d) matrix is formed
("ghost norms": Goodfellow, 2015, arXiv 1510.01799; Li et al., 2022, ICLR). Subtracting such sums would cost it
the last digits just where an attack needs them; hence G = C Q + R with orthonormal rows Q (B, d) that span G where it
is the gradient of B records, and |e^T h - G|^2 = |e^T (h Q^T) - C|^2 + |e^T h' - R|^2 with h' = h - h Q^T Q. R is
nothing but rounding unless a defence has changed the gradient, and is left out then.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from app.attacks.gradients.distances import LAYERS, TINY, Distance
from app.attacks.gradients.simulate import Weights, cross_entropy
from app.attacks.gradients.victims import Victims

KINDS = ("l2", "cosine")
"""The distances that need lengths and products only."""
WORTH, SMALL = 4, 1 << 14
"""A layer is factored if it has so many times more weights than its factors have values, and at least SMALL."""
ROUNDING = 8
"""What is left of a gradient beside its factors is rounding up to this multiple of a number's precision."""


@dataclass(frozen=True)
class _Factors:
    """The shared gradients of a linear layer, shares @ basis + rest."""

    basis: Tensor
    """(V, r, d), orthonormal rows."""
    shares: Tensor
    """(V, m, r)."""
    rest: Tensor | None
    """(V, m, d); None where it is rounding."""


@dataclass(frozen=True)
class Sums:
    """(P,) each, of one parameter: what the distances are made of."""

    apart: Tensor
    along: Tensor
    mine: Tensor


class Ghost:
    """The distances of `Matching` for gradients of a model that is a plain sequence; see `suits`."""

    def __init__(self, victims: Victims, distance: Distance) -> None:
        """Factors the shared gradients, once."""
        self.victims, self.distance = victims, distance
        self.layers = tuple(_leaves(victims.client.model))
        self.factored = frozenset(_wide(victims, self.layers))
        target = victims.target
        self._rates = LAYERS[distance.layers](target)
        self._theirs = {name: tensor.flatten(1).square().sum(1) for name, tensor in target.items()}
        self._factors = {name: _factors(target[name], victims.first.records) for name in self.factored}

    @classmethod
    def suits(cls, victims: Victims, distance: Distance) -> bool:
        """Whether it gives these distances and is worth it."""
        first = victims.first
        if victims.training is not None or first.transform is not None or distance.kind not in KINDS:
            return False
        return _plain(victims.client.model) and bool(_wide(victims, tuple(_leaves(victims.client.model))))

    @property
    def values(self) -> int:
        """How many values the gradient of one problem takes here."""
        shapes = {name: tensor.shape[1:] for name, tensor in self.victims.target.items()}
        records = self.victims.first.records
        return sum(records * sum(shape) if name in self.factored else shape.numel() for name, shape in shapes.items())

    def __call__(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """(P,): as `Matching`, differentiable by `x` and `y`."""
        dense, inputs, errors = self._found(x, y, index)
        sums = {name: _dense(found, self.victims.target[name][index]) for name, found in dense.items()}
        for name in inputs:
            sums[name] = _factored(inputs[name], errors[name], self._factors[name], index)
        return self._distance(sums, index)

    def _distance(self, sums: Mapping[str, Sums], index: Tensor) -> Tensor:
        rates = {name: self._rates[name][index] for name in sums}
        theirs = torch.stack([rates[name] * self._theirs[name][index] for name in sums]).sum(0)
        if self.distance.kind == "l2":
            return torch.stack([rates[name] * one.apart for name, one in sums.items()]).sum(0) / (theirs + TINY)
        along = torch.stack([rates[name] * one.along for name, one in sums.items()]).sum(0)
        mine = torch.stack([rates[name] * one.mine for name, one in sums.items()]).sum(0)
        return 1.0 - along / ((mine + TINY).sqrt() * (theirs + TINY).sqrt())

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


def _dense(found: Tensor, target: Tensor) -> Sums:
    found, target = found.flatten(1), target.flatten(1)
    return Sums((found - target).square().sum(1), (found * target).sum(1), found.square().sum(1))


def _factored(inputs: Tensor, errors: Tensor, factors: _Factors, index: Tensor) -> Sums:
    """The sums of the gradients errors^T inputs, inputs (P, B, d) and errors (P, B, m)."""
    basis, shares = factors.basis[index], factors.shares[index]
    inside = inputs @ basis.mT
    within = errors.mT @ inside
    apart = (within - shares).square().flatten(1).sum(1)
    along = (within * shares).flatten(1).sum(1)
    outside = _squares(inputs - inside @ basis, errors)
    mine = within.square().flatten(1).sum(1) + outside
    apart = apart + outside
    if factors.rest is not None:
        rest = factors.rest[index]
        aside = (errors * (inputs @ rest.mT)).flatten(1).sum(1)
        apart, along = apart + rest.square().flatten(1).sum(1) - 2.0 * aside, along + aside
    return Sums(apart, along, mine)


def _squares(inputs: Tensor, errors: Tensor) -> Tensor:
    """(P,): the squared lengths of errors^T inputs."""
    return ((inputs @ inputs.mT) * (errors @ errors.mT)).flatten(1).sum(1)


def _factors(target: Tensor, records: int) -> _Factors:
    """Of gradients (V, m, d); worked on one by one, in double precision, for they are large."""
    found = [_split(one, records) for one in target]
    basis, shares = (torch.stack([one[place] for one in found]) for place in (0, 1))
    rest = torch.stack([one - part @ rows for one, part, rows in zip(target, shares, basis, strict=True)])
    most = (ROUNDING * torch.finfo(target.dtype).eps) ** 2 * target.flatten(1).square().sum(1)
    is_rounding = bool((rest.flatten(1).square().sum(1) <= most).all())
    return _Factors(basis, shares, None if is_rounding else rest)


def _split(gradient: Tensor, records: int) -> tuple[Tensor, Tensor]:
    """Rows (r, d) that span the gradient (m, d) as well as so many can, and its shares (m, r) in them."""
    wide = gradient.double()
    _, vectors = torch.linalg.eigh(wide @ wide.mT)
    rows = vectors[:, -min(records, *gradient.shape) :].mT @ wide
    basis = torch.linalg.qr(rows.mT)[0].mT
    return basis.to(gradient.dtype), (wide @ basis.mT).to(gradient.dtype)


def _plain(model: nn.Module) -> bool:
    """Whether the model is a sequence of layers, and of such, each of which has its own weights and no hooks."""
    if type(model) is not nn.Sequential:
        return False
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    hooked = any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())
    return len(names) == len(list(model.parameters())) and not hooked


def _leaves(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers in their order."""
    for name, module in model.named_children():
        if type(module) is nn.Sequential:
            yield from _leaves(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _names(module: nn.Module) -> list[str]:
    return [name for name, _ in (*module.named_parameters(), *module.named_buffers())]


def _wide(victims: Victims, layers: tuple[tuple[str, nn.Module], ...]) -> list[str]:
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
