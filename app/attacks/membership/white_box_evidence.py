"""What a white-box attacker sees of a record: gradients, activations, loss and label at one or several sets of weights.

In federated learning every round shows the model again: the server sees each client's weights, a client the global
ones. An observation is one such set of weights; all of them look at the same records.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from app.training import memory, per_sample_gradients
from app.training.gradients import Forward
from app.training.stack import Weights

Activations = Callable[[Weights, Tensor], Sequence[Tensor]]
"""(weights, inputs (n, ...)) -> what some layers gave, each (n, ...)."""
HALF = torch.float16
"""Gradients are computed once and kept in this type; sums over them are taken in single precision."""
LARGEST = 6e4


@dataclass(frozen=True)
class Evidence:
    """Of n records: one entry per observation, except for the label."""

    gradients: tuple[tuple[Tensor, ...], ...]
    """For every observation the gradients (n, ...) by the chosen tensors, in half precision."""
    activations: tuple[tuple[Tensor, ...], ...]
    """For every observation what the chosen layers gave (n, ...), in half precision."""
    losses: Tensor
    """(n, observations)"""
    labels: Tensor
    """(n, K): one-hot."""

    def __len__(self) -> int:
        """The number of records."""
        return len(self.labels)

    def take(self, rows: Tensor) -> "Evidence":
        """The evidence on some of the records."""
        return Evidence(
            tuple(tuple(each[rows] for each in seen) for seen in self.gradients),
            tuple(tuple(each[rows] for each in seen) for seen in self.activations),
            self.losses[rows],
            self.labels[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence["Evidence"]) -> "Evidence":
        """The evidence on the records of all parts, one after another, each seen as often and by the same tensors."""

        def together(kind: str) -> tuple[tuple[Tensor, ...], ...]:
            seen = zip(*(getattr(part, kind) for part in parts), strict=True)
            return tuple(tuple(map(torch.cat, zip(*each, strict=True))) for each in seen)

        losses, labels = (torch.cat([getattr(part, kind) for part in parts]) for kind in ("losses", "labels"))
        return cls(together("gradients"), together("activations"), losses, labels)


def observe(
    forward: Forward,
    observations: Sequence[Weights],
    x: Tensor,
    y: Tensor,
    classes: int,
    names: tuple[str, ...],
    activations: Activations | None = None,
) -> Evidence:
    """The evidence on records x (n, ...) of the classes y (n,) at every observed set of weights.

    `names` are the tensors whose gradients are looked at. Gradients are exact for each record, in chunks.
    """
    gradients, seen, losses = [], [], []
    for weights in observations:
        chunks = [slopes for _, slopes in per_sample_gradients(forward, weights, x, y, names=names)]
        gradients.append(tuple(_kept(torch.cat([slopes[name] for slopes in chunks])) for name in names))
        loss, given = _asked(forward, weights, x, y, activations)
        losses.append(loss)
        seen.append(given)
    return Evidence(tuple(gradients), tuple(seen), torch.stack(losses, 1), functional.one_hot(y, classes).float())


def activations_of(template: nn.Module, layers: Sequence[str]) -> Activations:
    """What the named layers of a module give, as a function of weights; such as for a `Stack`'s template."""
    watched, found = copy.deepcopy(template), []
    for name in layers:
        watched.get_submodule(name).register_forward_hook(lambda module, given, output: found.append(output.clone()))

    def ask(weights: Weights, x: Tensor) -> Sequence[Tensor]:
        found.clear()
        functional_call(watched, weights, (x,))
        return tuple(found)

    return ask


def last_weights(weights: Weights, count: int) -> tuple[str, ...]:
    """The names of the last `count` weight matrices or kernels, in the order of the weights; biases are left out."""
    matrices = [name for name, tensor in weights.items() if tensor.ndim >= 2 and tensor.is_floating_point()]
    return tuple(matrices[-count:]) if count else ()


@dataclass(frozen=True)
class GradientAscent:
    """The active attacker: it raises the loss of the records in question, and sees whether training lowers it again.

    Nasr, Shokri and Houmansadr, 2019, IEEE S&P, active attacks: w = w + rate * gradient of the records' loss. Called
    between rounds of a federation on the weights that are sent; observe the weights that come back.
    """

    x: Tensor
    y: Tensor
    rate: float = 0.1
    steps: int = 1

    def __call__(self, forward: Forward, weights: Weights) -> Weights:
        """The weights to send in place of these; what is not in floating point stays."""
        moved = {name: tensor.detach().clone() for name, tensor in weights.items()}
        names = [name for name, tensor in moved.items() if tensor.is_floating_point()]
        for _ in range(self.steps):
            leaves = {name: moved[name].requires_grad_(True) for name in names}
            with torch.enable_grad():
                loss = functional.cross_entropy(forward({**moved, **leaves}, self.x), self.y)
                slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
            for name, slope in zip(names, slopes, strict=True):
                moved[name] = moved[name].detach()
                if slope is not None:
                    moved[name] = moved[name] + self.rate * slope
        return {name: tensor.detach() for name, tensor in moved.items()}


def _kept(values: Tensor) -> Tensor:
    return values.detach().clamp(-LARGEST, LARGEST).to(HALF)


def _asked(
    forward: Forward, weights: Weights, x: Tensor, y: Tensor, activations: Activations | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The losses (n,) and activations (n, ...) at these weights, in chunks."""
    losses, given = [], []
    with torch.no_grad():
        for part in memory.slices(len(x), 512):
            losses.append(functional.cross_entropy(forward(weights, x[part]), y[part], reduction="none"))
            given.append([_kept(each) for each in activations(weights, x[part])] if activations else [])
    return torch.cat(losses), tuple(torch.cat(parts) for parts in zip(*given, strict=True))
