"""The norm of a record's gradient: training has made it small for members."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.attacks.membership.base import MembershipAttack, Progress, Records, Target, silent
from app.parameters import parameter
from app.training import memory, per_sample_gradients
from app.training.multilayer import Multilayer

PROBES = 16
SAME = 1e-4


@dataclass(frozen=True)
class GradientNorm(MembershipAttack):
    """The score is minus the logarithm of the norm of the loss's gradient by all weights."""

    title: ClassVar[str] = "Gradient norm"
    source: ClassVar[str] = (
        "Nasr, Shokri and Houmansadr, 2019, IEEE S&P, the norm of the gradient alone, without a trained attack model"
    )

    part: str = parameter("all", "By all weights, or by those of the last layer.", choices=("all", "last"))

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) minus log-norms. Raises ValueError when the target does not show its weights."""
        x, y = torch.from_numpy(candidates.x).to(device), torch.from_numpy(candidates.y).to(device)
        squares = norms(target, x, y).square()
        chosen = squares[:, -2:].sum(1) if self.part == "last" else squares.sum(1)
        # A record that is classified with certainty has a gradient of exactly 0.
        return -0.5 * np.log(chosen.double().cpu().numpy() + np.finfo(np.float32).tiny)


def norms(target: Target, x: Tensor, y: Tensor) -> Tensor:
    """(n, tensors): the norm of each record's gradient of its cross-entropy by each tensor of the target's weights.

    In closed form if the target computes what a perceptron with its weights would, else by `vmap(grad)`. Raises
    ValueError when the target does not show its weights.
    """
    if target.parameters is None or target.forward is None:
        raise ValueError("a white-box attack needs the weights of the target")
    weights = {name: tensor for name, tensor in target.parameters.items() if tensor.is_floating_point()}
    shape = multilayer(target, x[:PROBES])
    if shape is not None:
        return _closed_form(shape, weights, x, y)
    chunks = per_sample_gradients(target.forward, target.parameters, x, y, names=tuple(weights))
    found = [torch.stack([slope.flatten(1).norm(dim=1) for slope in slopes.values()], dim=1) for _, slopes in chunks]
    return torch.nan_to_num(torch.cat(found)) if found else x.new_zeros(0, len(weights))


def multilayer(target: Target, x: Tensor) -> Multilayer | None:
    """The perceptron that the target is, if it gives the same logits for x (n, ...) as one with its weights; else None.

    A target may be any function of its weights, so what it is told by its answers and not by its code.
    """
    weights = target.parameters or {}
    names = list(weights)
    if len(names) % 2 or target.forward is None:
        return None
    width, layers = x[:1].numel(), []
    for weight, bias in zip(names[::2], names[1::2], strict=True):
        if weights[weight].ndim != 2 or weights[bias].shape != weights[weight].shape[:1]:
            return None
        if weights[weight].shape[1] != width:
            return None
        width = len(weights[weight])
        layers.append((weight, bias))
    if not layers or width != target.classes:
        return None
    shape = Multilayer(tuple(layers))
    with torch.no_grad():
        logits = shape.forward(_stacked(weights), x[None])[1][0]
        is_same = torch.allclose(logits, target.forward(weights, x), rtol=SAME, atol=SAME)
    return shape if is_same else None


def _closed_form(shape: Multilayer, weights: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    stacked = _stacked(weights)
    row = memory.OVERHEAD * memory.FLOAT * sum(len(tensor) + tensor.shape[-1] for tensor in weights.values())
    with torch.no_grad():
        parts = [
            shape.tensor_norms(stacked, x[part][None], y[part][None])[0]
            for part in memory.slices(len(x), memory.rows_at_once(row, x.device))
        ]
    return torch.cat(parts) if parts else x.new_zeros(0, len(weights))


def _stacked(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach()[None] for name, tensor in weights.items()}
