"""What a client computes, as a differentiable function of its inputs and labels: a gradient or a local training.

Weights are dictionaries of tensors by name. In the functions for many problems every tensor has a leading axis P, one
entry per problem; weights that all problems share may come without it. Labels are probabilities, so that they can be
searched for; hard labels are one-hot rows.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, replace_all_batch_norm_modules_, vmap

from app.attacks.gradients.base import LocalTraining

Weights = dict[str, Tensor]
KINKED = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
"""Layers whose slope jumps."""


def attackable(model: nn.Module, device: str) -> nn.Module:
    """A copy of a model whose forward pass changes nothing and draws nothing.

    A model in training mode normalises by the statistics of the batch, as it did at the client, but does not keep
    them; dropout is off, since its mask is unknown.
    """
    twin = copy.deepcopy(model).to(device).requires_grad_(False)
    if model.training:
        replace_all_batch_norm_modules_(twin)
    for module in twin.modules():
        if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d | nn.AlphaDropout):
            module.eval()
    return twin


def has_kinks(model: nn.Module) -> bool:
    """Whether the slope of the model's outputs jumps, as far as its modules tell."""
    return any(isinstance(module, KINKED) for module in model.modules())


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The mean cross-entropy of logits (B, K) and label probabilities (B, K)."""
    return -(y * logits.log_softmax(1)).sum(1).mean()


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(..., K) probabilities of labels (...)."""
    return nn.functional.one_hot(labels, classes).to(dtype)


@dataclass(frozen=True)
class Step:
    """One step of local training."""

    rows: slice
    """The records that it is computed from."""
    rate: float


def steps(training: LocalTraining, records: int) -> Iterator[Step]:
    """The steps of a client that takes its records in their order, the last batch of an epoch being smaller."""
    batch, turn = training.batch or records, 0
    for _ in range(training.epochs):
        for start in range(0, records, batch):
            yield Step(slice(start, min(start + batch, records)), training.rate(turn))
            turn += 1


@dataclass(frozen=True)
class Client:
    """A client as a function; `model` must be `attackable`."""

    model: nn.Module
    shared: bool = False
    """Whether all problems have the same weights, which then come without the leading axis."""

    def gradients(self, weights: Weights, buffers: Weights, x: Tensor, y: Tensor, moved: bool = False) -> Weights:
        """(P, ...): each problem's mean gradient over its records x (P, B, ...), y (P, B, K).

        `moved`: the weights have left the ones that the server sent, so that every problem has its own.
        """
        own, held = (0 if moved or not self.shared else None), (None if self.shared else 0)
        if len(x) > 1:
            return vmap(self.gradient, in_dims=(own, held, 0, 0), randomness="different")(weights, buffers, x, y)
        # A vmap over one problem is slower than none.
        found = self.gradient(_only(weights, own), _only(buffers, held), x[0], y[0])
        return {name: tensor[None] for name, tensor in found.items()}

    def gradient(self, weights: Weights, buffers: Weights, x: Tensor, y: Tensor) -> Weights:
        """The mean gradient of one problem: x (B, ...), y (B, K)."""
        return grad(self._loss)(weights, buffers, x, y)

    def update(self, weights: Weights, buffers: Weights, x: Tensor, y: Tensor, training: LocalTraining) -> Weights:
        """(P, ...): the weights before local training minus those after it, as one differentiable expression.

        Stochastic gradient descent as in torch.optim.SGD, without dampening and Nesterov's momentum.
        """
        state: State = (None, None)
        for step in steps(training, x.shape[1]):
            state = self.step((weights, buffers), state, (x, y), step, training)
        return state[0] or {}

    def step(
        self,
        start: tuple[Weights, Weights],
        state: "State",
        records: tuple[Tensor, Tensor],
        step: Step,
        training: LocalTraining,
    ) -> "State":
        """The state after one more step; `start` holds the weights and buffers that the server sent.

        The movement is summed up by itself: subtracted from the weights first, a small step would lose its digits.
        """
        (weights, buffers), (moved, velocity) = start, state
        x, y = (part[:, step.rows] for part in records)
        now = weights if moved is None else {name: weights[name] - moved[name] for name in weights}
        found = self.gradients(now, buffers, x, y, moved is not None)
        if training.weight_decay:
            found = {name: found[name] + training.weight_decay * now[name] for name in now}
        if velocity is not None:
            found = {name: training.momentum * velocity[name] + found[name] for name in now}
        walked = {name: step.rate * found[name] for name in now}
        if moved is not None:
            walked = {name: moved[name] + walked[name] for name in now}
        return walked, found if training.momentum else None

    def _loss(self, weights: Weights, buffers: Weights, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(self.model, (weights, buffers), (x,)), y)


def _only(weights: Weights, axis: int | None) -> Weights:
    return weights if axis is None else {name: tensor[0] for name, tensor in weights.items()}


State = tuple[Weights | None, Weights | None]
"""How far the weights of each problem have moved since the server sent them, and the velocity of momentum."""
