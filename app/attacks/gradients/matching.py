"""The objective of every attack by gradient matching, for many problems at once, as a differentiable function.

A problem is one guess at the batch of one victim. `Matching` computes what a client with these inputs and labels would
have shared, and how far that is from what the victim shared. Memory stays within a budget: problems are worked on in
chunks, and of a local training only the weights between the steps are kept; each step is computed again on the way
back.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.compiling import Compiled
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.ghost import Ghost
from app.attacks.gradients.simulate import State, Step, Weights, steps
from app.attacks.gradients.sweeps import Sweeps
from app.attacks.gradients.victims import Victims

MEMORY = 1 << 30
"""Bytes that the tensors of one evaluation may take."""
COPIES, GRAPH = 8, 24
"""How often one evaluation holds the weights, and the values between the layers of one problem."""


@dataclass(frozen=True)
class Matching:
    """The distance of simulated gradients or updates to those that were shared."""

    victims: Victims
    distance: Distance = field(default_factory=Distance)
    compiled: bool = False
    """Compile the objective where there is a compiler; only for gradients. Agrees up to rounding."""
    memory: int = MEMORY
    factored: bool = True
    """Form no gradients of wide linear layers where that is possible; agrees up to rounding."""
    swept: bool = True
    """Differentiate plain sequences by sweeps of their own, not automatically; agrees up to rounding."""

    def __call__(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """(P,): the distance for inputs x (P, B, ...) in model space and label probabilities y (P, B, K).

        `index` (P,) tells which victim each problem belongs to. Differentiable once in `x` and `y`.
        """
        losses: Tensor = _Matched.apply(x, y, index, self)
        return losses

    def plan(self, records: int) -> list[Step]:
        """The steps that a client with so many records is taken to have made."""
        return list(steps(self._training, records))

    def values(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """The distances (P,) alone, for searches without gradients; of gradients and updates alike."""
        with torch.no_grad():
            parts = zip(x.split(self._size), y.split(self._size), index.split(self._size), strict=True)
            return torch.cat([self._value(*part) for part in parts])

    def _value(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        if self._sweeps is not None:
            return self._sweeps.values(x, y, index)
        if self._ghost is not None:
            return self._ghost(x, y, index)
        client, (weights, buffers, target) = self.victims.client, self.victims.take(index)
        if self.victims.training is None:
            return self.distance(self._transformed(client.gradients(weights, buffers, x, y)), target)
        state: State = (None, None)
        for step in self.plan(x.shape[1]):
            state = client.step((weights, buffers), state, (x, y), step, self._training)
        return self.distance(self._transformed(state[0] or {}), target)

    def evaluate(self, x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The distances (P,) and their gradients by x and y, without a graph."""
        # Chunks of one size, which a compiler has to see but once.
        size = -(-len(x) // -(-len(x) // self._size))
        parts = zip(x.detach().split(size), y.detach().split(size), index.split(size), strict=True)
        found = [self._chunk(*part) for part in parts]
        losses, by_x, by_y = (torch.cat(parts) for parts in zip(*found, strict=True))
        return losses, by_x, by_y

    def _chunk(self, x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self._sweeps is not None:
            return self._sweeps(x, y, index)
        if self.victims.training is not None:
            weights, buffers, target = self.victims.take(index)
            return self._unrolled((weights, buffers), (x, y), target)
        if self.compiled and self.victims.first.transform is None:
            (by_x, by_y), losses = self._objective(x, y, *self.victims.take(index))
            return losses, by_x, by_y
        with torch.enable_grad():
            x, y = x.requires_grad_(), y.requires_grad_()
            losses = self._value(x, y, index)
            by_x, by_y = _gradients(losses.sum(), (x, y))
        return losses.detach(), by_x, by_y

    def _transformed(self, found: Weights) -> Weights:
        """What an adaptive attacker believes the client to have made of its gradients."""
        transform = self.victims.first.transform
        if transform is None:
            return found
        changed = vmap(lambda each: dict(transform(each)), randomness="different")(found)
        return {name: changed[name] for name in found}

    def _unrolled(
        self, start: tuple[Weights, Weights], records: tuple[Tensor, Tensor], target: Weights
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Forward through the local training without a graph, then back step by step."""
        training, client = self._training, self.victims.client
        plan = self.plan(records[0].shape[1])
        states: list[State] = [(None, None)]
        with torch.no_grad():
            for step in plan:
                states.append(client.step(start, states[-1], records, step, training))
        with torch.enable_grad():
            moved = {name: tensor.requires_grad_() for name, tensor in (states.pop()[0] or {}).items()}
            losses = self.distance(self._transformed(moved), target)
            pull: list[Tensor | None] = list(_gradients(losses.sum(), tuple(moved.values())))
        by_x, by_y = (torch.zeros_like(part) for part in records)
        pull += [None] * (len(pull) if training.momentum else 0)
        for step, state in zip(reversed(plan), reversed(states), strict=True):
            pull, of_x, of_y = self._back(start, state, records, step, pull)
            by_x[:, step.rows] += of_x
            by_y[:, step.rows] += of_y
        return losses.detach(), by_x, by_y

    def _back(
        self,
        start: tuple[Weights, Weights],
        state: State,
        records: tuple[Tensor, Tensor],
        step: Step,
        pull: list[Tensor | None],
    ) -> tuple[list[Tensor | None], Tensor, Tensor]:
        """One step backwards: gradients by the state before it, and by its records, from those by the state after."""
        training = self._training
        before: State = tuple(  # type: ignore[assignment]
            part and {name: tensor.detach().requires_grad_() for name, tensor in part.items()} for part in state
        )
        with torch.enable_grad():
            x, y = (part[:, step.rows].detach().requires_grad_() for part in records)
            whole = Step(slice(0, x.shape[1]), step.rate)
            after = self.victims.client.step(start, before, (x, y), whole, training)
            ends = [tensor for part in after if part for tensor in part.values()]
            pairs = [(end, force) for end, force in zip(ends, pull, strict=True) if force is not None]
            loose = [tensor for part in before if part for tensor in part.values()]
            total = sum(((end * force).sum() for end, force in pairs), x.new_zeros(()))
            found = _gradients(total, (*loose, x, y))
        return list(found[:-2]), found[-2], found[-1]

    @property
    def _training(self) -> LocalTraining:
        return self.victims.training or LocalTraining()

    @cached_property
    def _sweeps(self) -> Sweeps | None:
        if self.swept and Sweeps.suits(self.victims, self.distance):
            return Sweeps(self.victims, self.distance, self.compiled)
        return None

    @cached_property
    def _ghost(self) -> Ghost | None:
        return (
            Ghost(self.victims, self.distance) if self.factored and Ghost.suits(self.victims, self.distance) else None
        )

    @cached_property
    def _size(self) -> int:
        if self._sweeps is not None:
            most = max(1, self.memory // (self._sweeps.problem * self.victims.mean.element_size()))
            return min(most, self._sweeps.near) if self.victims.mean.device.type == "cpu" else most
        if self._ghost is None or not self.victims.client.shared:
            return chunk(self.victims, self.memory)
        values = GRAPH * self.victims.first.records * activations(self.victims) + COPIES * self._ghost.values
        return max(1, self.memory // (values * self.victims.mean.element_size()))

    @cached_property
    def _objective(self) -> Callable[..., Any]:
        """Gradients by inputs and labels, and the distance, of all problems as one compiled function."""
        client, distance = self.victims.client, self.distance

        def one(x: Tensor, y: Tensor, weights: Weights, buffers: Weights, target: Weights) -> Tensor:
            found = client.gradient(weights, buffers, x, y)
            return distance(
                {name: tensor[None] for name, tensor in found.items()},
                {name: tensor[None] for name, tensor in target.items()},
            )[0]

        own = None if client.shared else 0
        return Compiled(vmap(grad_and_value(one, argnums=(0, 1)), in_dims=(0, 0, own, own, 0)))


def chunk(victims: Victims, memory: int) -> int:
    """Problems that are evaluated at a time so that their tensors fit into `memory` bytes; at least one."""
    weights = sum(tensor[0].numel() for tensor in victims.target.values())
    turns = 1 if victims.training is None else 1 + victims.training.steps(victims.first.records)
    values = GRAPH * victims.first.records * activations(victims) + (COPIES + turns) * weights
    return max(1, memory // (values * next(iter(victims.target.values())).element_size()))


def activations(victims: Victims) -> int:
    """Values between the layers for one record; found on the meta device, without any computation."""
    counts: list[int] = []
    model = copy.deepcopy(victims.client.model).to("meta").eval()
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, given, result: counts.append(result.numel()))
    model(torch.zeros(1, *victims.first.input_shape, device="meta", dtype=victims.mean.dtype))
    return sum(counts)


class _Matched(torch.autograd.Function):
    """Value and gradients are computed together, chunk by chunk; the way back only scales."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, index: Tensor, matching: Matching) -> Tensor:
        losses, by_x, by_y = matching.evaluate(x, y, index)
        ctx.save_for_backward(by_x, by_y)
        return losses

    @staticmethod
    def backward(ctx: Any, *pull: Any) -> Any:
        by_x, by_y = ctx.saved_tensors
        return _scaled(by_x, pull[0]), _scaled(by_y, pull[0]), None, None


def _scaled(slope: Tensor, factor: Tensor) -> Tensor:
    return slope * factor.reshape(-1, *[1] * (slope.ndim - 1))


def _gradients(total: Tensor, leaves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Gradients by the leaves, zeros for those that the total does not depend on."""
    if not total.requires_grad:
        return tuple(torch.zeros_like(leaf) for leaf in leaves)
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    return tuple(torch.zeros_like(leaf) if one is None else one for leaf, one in zip(leaves, found, strict=True))
