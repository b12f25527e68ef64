"""P2 corrected: what attacks measure on members is made to look like what they measure on held-out records."""

from dataclasses import dataclass, replace
from functools import reduce
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app import metrics
from app.defences.models.stopping import EarlyStopping
from app.defences.p2.base import LAYERS, PostProtection, Progress, Shares, silent, targets
from app.defences.p2.signals import signals
from app.parameters import parameter
from app.training import Recipe, Stack, logits, optimiser
from app.training.recipe import ordered
from app.training.stack import Weights

FEWEST = 8
"""Held-out records that a client needs: half are the reference, half tell when to stop."""
FORBIDDEN = 10.0
"""Weight of accuracy lost beyond the allowed cost; an AUC differs from chance by at most a half."""


@dataclass(frozen=True)
class Corrected(PostProtection):
    """Poisoned predictions, matched gradients, true labels, an anchor, and an end when held-out records say so."""

    title: ClassVar[str] = "P2, corrected"
    source: ClassVar[str] = (
        "After Poisoning as a Post-Protection, 2025, IEEE TDSC. New: predictions are poisoned no further than held-out "
        "records look; the confidence and the gradient norm of the members, which is what attacks measure, are matched "
        "in distribution (squared Wasserstein-2 distance) to those of records that the client held out; true labels "
        "and the old predictions for held-out records keep the utility; and each client keeps the weights with which "
        "its members and other held-out records were hardest to tell apart at an allowed cost."
    )

    epsilon: float = parameter(0.1, "How far the confidence of a prediction may move.", minimum=0.0, maximum=1.0)
    layers: str = parameter("all", "Layers whose gradients are to be poisoned.", choices=LAYERS)
    epochs: int = parameter(20, "Passes over a client's records, at most.", minimum=0, maximum=10_000)
    rate: float = parameter(1e-3, "Learning rate of Adam.", minimum=0.0, maximum=1.0)
    batch: int = parameter(128, "Records of one step.", minimum=2, maximum=100_000)
    prediction: float = parameter(1.0, "Weight of the poisoned predictions.", minimum=0.0, maximum=1e3)
    gradient: float = parameter(1.0, "Weight of matched confidences and gradient norms.", minimum=0.0, maximum=1e3)
    utility: float = parameter(0.05, "Weight of the true labels.", minimum=0.0, maximum=1e3)
    anchor: float = parameter(1.0, "Weight of the old predictions for held-out records.", minimum=0.0, maximum=1e3)
    cost: float = parameter(0.02, "Accuracy on held-out records that may be lost.", minimum=0.0, maximum=1.0)
    patience: int = parameter(10, "Epochs without an improvement after which a client stops.", minimum=1, maximum=1000)

    def protect(self, stack: Stack, shares: Shares, rng: np.random.Generator, progress: Progress = silent) -> Stack:
        """The models after the additional round. Raises ValueError if a client holds out fewer than 8 records."""
        if len(shares.held_out) != len(stack) or min(map(len, shares.held_out)) < FEWEST:
            raise ValueError(f"the corrected protection needs at least {FEWEST} held-out records of every client")
        clients = []
        for k in range(len(stack)):
            one = slice(k, k + 1)
            own = replace(shares, rows=shares.rows[one], held_out=shares.held_out[one])
            clients.append(self._client(stack.take(one), own, rng))
            progress((k + 1) / len(stack))
        return reduce(Stack.joined, clients)

    def _client(self, stack: Stack, shares: Shares, rng: np.random.Generator) -> Stack:
        """The model of one client."""
        task = _Task(self, stack.copied(), shares, rng)
        watch = EarlyStopping(self.patience).watch(task.stack.tensors)
        watch.look(task.stack.tensors, task.value())
        for _ in range(self.epochs):
            task.epoch()
            watch.look(task.stack.tensors, task.value())
            if watch.is_over:
                break
        best = watch.best
        return replace(
            stack,
            parameters={name: best[name] for name in stack.parameters},
            buffers={name: best[name] for name in stack.buffers},
        )


class _Task:
    """The additional round of one client."""

    def __init__(self, settings: Corrected, stack: Stack, shares: Shares, rng: np.random.Generator) -> None:
        self.settings, self.stack, self.shares, self.rng = settings, stack, shares, rng
        held = rng.permutation(shares.held_out[0])
        self.members = self._records(shares.rows[0])
        self.reference = self._records(held[: len(held) // 2])
        self.check = self._records(held[len(held) // 2 :])
        self.wanted = self._wanted()
        self.anchor = self._probabilities(self.reference)
        self.recipe = Recipe(1, settings.batch, settings.rate, momentum=0.0, optimiser="adam")
        self.moving = optimiser(stack.parameters, self.recipe)
        self.before = self._accuracy()

    def epoch(self) -> None:
        """One pass over the client's records."""
        order = ordered(np.arange(len(self.wanted)), self.recipe, self.rng)
        for places in np.array_split(order, -(-len(order) // self.settings.batch)):
            leaves = {name: tensor.detach().requires_grad_(True) for name, tensor in self.stack.parameters.items()}
            with torch.enable_grad():
                loss = self._loss(leaves, torch.as_tensor(places, device=self.wanted.device))
                slopes = torch.autograd.grad(loss, list(leaves.values()))
            with torch.no_grad():
                self.moving.step(dict(zip(leaves, slopes, strict=True)))

    def _loss(self, weights: Weights, places: Tensor) -> Tensor:
        x, y = self.members
        found, seen = signals(self.stack, weights, x[:, places], y[:, places])
        held, reference = signals(self.stack, weights, *self.reference)
        return (
            self.settings.prediction * divergence(found[0], self.wanted[places])
            + self.settings.anchor * divergence(held[0], self.anchor)
            # Held-out records stay where they are: only the members are to move.
            + self.settings.gradient * transport(seen[0], reference[0].detach())
            + self.settings.utility * functional.cross_entropy(found[0], y[0, places])
        )

    def _wanted(self) -> Tensor:
        """(n, K): the poisoned predictions, none further from its true class than a held-out record of its rank."""
        poisoned = targets(self.stack, self.shares, self.settings.epsilon, self.settings.layers)[0]
        plain, y = self._probabilities(self.members).to(poisoned.dtype), self.members[1][0][:, None]
        own = plain.gather(1, y)
        least = quantiles(self._signals(self.reference)[:, :1], ranks(own)).to(own.dtype)
        moved = (own - poisoned.gather(1, y)).clamp(min=1e-12)
        share = ((own - least) / moved).clamp(0.0, 1.0)
        return torch.lerp(plain, poisoned, share).to(self.shares.x.dtype)

    def value(self) -> Tensor:
        """(1,): how well members and the checking half can be told apart, and what accuracy is lost beyond the cost."""
        members, others = self._signals(self.members), self._signals(self.check)
        truth = np.r_[np.ones(len(members)), np.zeros(len(others))]
        scores = torch.cat([members, others]).cpu().numpy()
        told = max(abs(metrics.auc(scores[:, kind], truth) - 0.5) for kind in range(scores.shape[1]))
        lost = max(0.0, self.before - self._accuracy() - self.settings.cost)
        return torch.tensor([told + FORBIDDEN * lost], device=self.wanted.device)

    def _accuracy(self) -> float:
        """On all records that the client held out."""
        x, y = (torch.cat(parts, dim=1) for parts in zip(self.reference, self.check, strict=True))
        return float((logits(self.stack, x, is_own=True).argmax(-1) == y).float().mean())

    def _probabilities(self, records: tuple[Tensor, Tensor]) -> Tensor:
        return logits(self.stack, records[0], is_own=True)[0].softmax(-1)

    def _signals(self, records: tuple[Tensor, Tensor]) -> Tensor:
        """(n, 2) without a gradient."""
        with torch.no_grad():
            return signals(self.stack, self.stack.parameters, *records)[1][0]

    def _records(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        places = torch.as_tensor(rows, device=self.shares.x.device)
        return self.shares.x[places][None], self.shares.y[places][None]


def divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """The mean Kullback-Leibler divergence of the predictions (n, K) from the wanted ones."""
    return functional.kl_div(logits.log_softmax(-1), wanted, reduction="batchmean")


def transport(seen: Tensor, reference: Tensor) -> Tensor:
    """The squared Wasserstein-2 distance between signals (B, S) and a reference (m, S), signal by signal, standardised.

    In one dimension the best transport is from quantile to quantile (Villani, 2003, theorem 2.18).
    """
    middle = (torch.arange(len(seen), device=seen.device, dtype=seen.dtype) + 0.5) / len(seen)
    spread = reference.std(dim=0, correction=0).clamp(min=1e-6)
    wanted = quantiles(reference, middle[:, None].expand_as(seen))
    return ((seen.sort(dim=0).values - wanted) / spread).square().mean()


def ranks(values: Tensor) -> Tensor:
    """(n, S): the rank of each value within its column, as a share in (0, 1)."""
    return (values.argsort(dim=0).argsort(dim=0) + 0.5) / len(values)


def quantiles(reference: Tensor, shares: Tensor) -> Tensor:
    """(n, S): the quantiles of the columns of `reference` (m, S) at `shares` (n, S)."""
    places = (shares * len(reference)).long().clamp(0, len(reference) - 1)
    return reference.sort(dim=0).values.gather(0, places)
