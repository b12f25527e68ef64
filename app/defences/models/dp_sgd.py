"""DP-SGD: clipped gradients of single records, noise, and an accountant that counts what they cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from app.parameters import parameter
from app.training import Optimiser, Recipe, Stack, optimiser, per_sample_gradients
from app.training.multilayer import Multilayer
from app.training.stack import Weights

Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""
ACCOUNTANTS = ("rdp", "prv")
CACHED = 8
"""Models that are trained together on a CPU: the weights of more leave the cache."""
TINY = 1e-12


def silent(share: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class DpSgd:
    """Training in which no record moves the weights by more than a bounded, noisy step."""

    title: ClassVar[str] = "DP-SGD"
    source: ClassVar[str] = (
        "Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar and Zhang, 2016, CCS, algorithm 1, with Poisson batches: "
        "(sum of g min(1, C / |g|) + N(0, s^2 C^2)) / expected batch. The norms of perceptrons are computed without "
        "the gradients (Goodfellow, 2015, arXiv 1510.01799); other networks use a gradient for each record."
    )

    epochs: int = parameter(10, "Expected passes over the training records.", minimum=0, maximum=10_000)
    batch: int = parameter(64, "Expected records of one step.", minimum=1, maximum=100_000)
    rate: float = parameter(0.5, "Learning rate.", minimum=0.0, maximum=1e3)
    momentum: float = parameter(0.0, "Momentum of SGD.", minimum=0.0, maximum=0.9999)
    clip: float = parameter(1.0, "C, the longest gradient of a record.", minimum=1e-6, maximum=1e6)
    noise_multiplier: float = parameter(
        1.0, "s, the noise's standard deviation divided by C.", minimum=0.0, maximum=1e3
    )
    delta: float = parameter(1e-5, "Delta of the stated epsilon.", minimum=1e-12, maximum=0.5)
    accountant: str = parameter("rdp", "How epsilon is counted.", choices=ACCOUNTANTS)

    def steps(self, records: int) -> int:
        """Steps of a training on so many records."""
        return self.epochs * -(-records // self.batch)

    def share(self, records: int) -> float:
        """The chance of each record to take part in a step: one over the steps of an epoch."""
        return 1.0 / -(-records // self.batch)

    def epsilon(self, records: int, trainings: int = 1) -> float:
        """What so many trainings on these records cost a single record, at `delta`."""
        from app.defences.models.accounting import epsilon  # Opacus takes seconds to load.

        share, steps = self.share(records), trainings * self.steps(records)
        return epsilon(self.noise_multiplier, share, steps, self.delta, self.accountant)

    def train(
        self,
        stack: Stack,
        x: Tensor,
        y: Tensor,
        rows: Sequence[NDArray[np.int64]],
        rng: np.random.Generator,
        progress: Progress = silent,
    ) -> Stack:
        """The stack after every model was trained on its own rows of `x` (n, ...) and `y` (n,); models learn together.

        Raises ValueError for networks with batch normalisation, where a record's gradient depends on its neighbours.
        """
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in stack.template.modules()):
            raise ValueError("DP-SGD cannot train batch normalisation, which mixes the records of a batch")
        # Models of one size take the same number of steps, so they are trained together.
        trained, sizes = stack.copied(), [len(own) for own in rows]
        groups = [np.flatnonzero(np.equal(sizes, size)) for size in sorted(set(sizes))]
        cached = CACHED if stack.device.type == "cpu" else len(rows)
        parts = [group[start : start + cached] for group in groups for start in range(0, len(group), cached)]
        for done, models in enumerate(parts):
            some = _Some(self, stack.take(models), (x, y), np.stack([rows[int(model)] for model in models]), rng)
            some.train(lambda share, done=done: progress((done + share) / len(parts)))  # type: ignore[misc]
            for name, tensor in some.stack.parameters.items():
                trained.parameters[name][torch.as_tensor(models, device=stack.device)] = tensor
        return trained


class _Some:
    """Models with equal numbers of records."""

    def __init__(
        self,
        settings: DpSgd,
        stack: Stack,
        records: tuple[Tensor, Tensor],
        rows: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> None:
        self.settings, self.stack, self.rows, self.rng = settings, stack, rows, rng
        self.x, self.y = records
        shape = Multilayer.of(stack.template)
        self.clipped = self._of_any if shape is None else partial(self._of_multilayer, shape)
        self.expected = settings.share(rows.shape[1]) * rows.shape[1]
        recipe = Recipe(1, settings.batch, settings.rate, momentum=settings.momentum)
        self.moving: Optimiser = optimiser(stack.parameters, recipe)
        self.generator = torch.Generator(stack.device).manual_seed(int(rng.integers(2**63 - 1)))

    def train(self, progress: Progress) -> None:
        """All steps."""
        steps = self.settings.steps(self.rows.shape[1])
        for step in range(steps):
            places, taken = self._drawn()
            x = self.x.index_select(0, places.flatten()).reshape(*places.shape, *self.x.shape[1:])
            with torch.no_grad():
                self.moving.step(self.clipped(x, self.y[places], taken))
            progress((step + 1) / steps)

    def _drawn(self) -> tuple[Tensor, Tensor]:
        """The places (M, B) of the records that take part, each with the same chance, and (M, B) 0 where it is none."""
        size = self.rows.shape[1]
        inside = self.rng.random(self.rows.shape, dtype=np.float32) < self.settings.share(size)
        counts = inside.sum(1)
        taken = np.arange(max(1, counts.max())) < counts[:, None]
        places = np.zeros(taken.shape, np.int64)
        places[taken] = self.rows[inside]
        device = self.stack.device
        return torch.as_tensor(places, device=device), torch.as_tensor(taken, device=device, dtype=self.x.dtype)

    def _of_multilayer(self, shape: Multilayer, x: Tensor, y: Tensor, taken: Tensor) -> Weights:
        """Name -> the noisy means of the clipped gradients, without a gradient of a single record."""
        inputs, logits = shape.forward(self.stack.parameters, x)
        residual = logits.softmax(-1) - functional.one_hot(y, logits.shape[-1])
        slopes = shape.slopes(self.stack.parameters, inputs, residual)
        squares = [
            slope.square().sum(2) * (fed.square().sum(2) + 1.0) for slope, fed in zip(slopes, inputs, strict=True)
        ]
        factors = self._factors(torch.stack(squares).sum(0), taken)[..., None]
        means: Weights = {}
        for (weight, bias), fed, slope in zip(shape.layers, inputs, slopes, strict=True):
            clipped = slope * factors
            # The product is added to the noise in the pass that computes it.
            means[weight] = self._noise(weight).baddbmm_(clipped.transpose(1, 2), fed)
            means[bias] = self._noise(bias).add_(clipped.sum(1))
        return means

    def _of_any(self, x: Tensor, y: Tensor, taken: Tensor) -> Weights:
        """The same by a gradient for each record."""
        means = {name: self._noise(name) for name in self.stack.parameters}
        for model in range(len(self.stack)):
            weights, names = self.stack.weights(model), tuple(means)
            for part, slopes in per_sample_gradients(self.stack.forward, weights, x[model], y[model], names=names):
                squares = torch.stack([slope.flatten(1).square().sum(1) for slope in slopes.values()]).sum(0)
                factors = self._factors(squares, taken[model, part])
                for name, slope in slopes.items():
                    means[name][model] += torch.tensordot(factors, slope, dims=1)
        return means

    def _factors(self, squares: Tensor, taken: Tensor) -> Tensor:
        """What makes gradients of these squared norms at most `clip` long, divided by the expected batch."""
        return (self.settings.clip / (squares + TINY).sqrt()).clamp(max=1.0) * taken / self.expected

    def _noise(self, name: str) -> Tensor:
        """Noise for a tensor of all models."""
        deviation = self.settings.noise_multiplier * self.settings.clip / self.expected
        empty = torch.empty_like(self.stack.parameters[name])
        return empty.normal_(0.0, deviation, generator=self.generator) if deviation else empty.zero_()
