"""Generative regression: a fresh generator is trained until its images and labels give the shared gradient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.best import Best
from app.attacks.gradients.distances import LAYERS, Distance
from app.attacks.gradients.labels import recover
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.networks import initialise
from app.attacks.gradients.optimisers import decay
from app.attacks.gradients.priors import total_variation
from app.attacks.gradients.search import CHECK, generator, solve
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.smoothing import BENT, Smoothed, narrowed
from app.attacks.gradients.victims import Victims
from app.parameters import parameter

SMALLEST = 4
"""The side of the feature maps that the image branch begins with."""
WARM = 20
"""Steps in which the rate of the cosine schedule rises."""


@dataclass(frozen=True)
class Grnn(GradientAttack):
    """Train a generator of images and labels, from fixed noise, on the distance of the gradients.

    As published (`Grnn.published()`) it often ends where some images of the batch are blends or blurs: units of the
    attacked network's ReLUs that are on for the wrong image stay so, since the slope of the distance does not see them
    switch. Beyond the paper, kinks are therefore smoothed at first (see `smoothing`), and labels are read before.
    """

    title: ClassVar[str] = "Generative regression neural network"
    source: ClassVar[str] = (
        "Ren, Deng and Xie, 2022, ACM TIST 13(4), algorithm 1 and figure 2. Of any image size and range; beyond the "
        "paper ReLUs are smoothed at first, labels are read, the squared distance is a share of the gradient's, Adam "
        "takes the place of RMSprop, and a victim whose own loss stays high gets another generator."
    )

    iterations: int = parameter(500, "Steps of the generator (published: 1,000).", minimum=1, maximum=1_000_000)
    restarts: int = parameter(1, "Further generators for victims whose own loss is not small.", minimum=0, maximum=1000)
    solved: float = parameter(1e-2, "The loss that is small enough not to begin anew.", minimum=0.0, maximum=1.0)
    rate: float = parameter(5e-3, "Learning rate (the paper: 1e-4 for RMSprop).", minimum=1e-7, maximum=1.0)
    schedule: str = parameter(
        "cosine", "The rate falls along a half cosine, or stays as in the paper.", choices=("cosine", "constant")
    )
    optimiser: str = parameter("adam", "What trains the generator.", choices=("adam", "rmsprop"))
    smooth: float = parameter(
        0.3, "Width of the kinks of ReLUs at the beginning, which falls; 0: none, as in the paper.",
        minimum=0.0, maximum=10.0, unit="deviations",
    )  # fmt: skip
    variation: float = parameter(1e-4, "Weight of the total variation (published: 1e-3).", minimum=0.0, maximum=100.0)
    scale: str = parameter(
        "share", "The squared distance is a share of the gradient's square, or a plain sum as in the paper.",
        choices=("share", "sum"),
    )  # fmt: skip
    root: float = parameter(
        0.0, "Weight of the root of the distance, which is the paper's Wasserstein term.", minimum=0.0, maximum=100.0
    )
    width: int = parameter(32, "Channels of the last block of the generator.", minimum=1, maximum=1024)
    noise: int = parameter(128, "Values of the noise.", minimum=1, maximum=10_000)
    labels: str = parameter(
        "read", "Labels are read from the last layer, or come from a branch of the generator as in the paper.",
        choices=("read", "branch"),
    )  # fmt: skip
    layers: str = parameter("equal", "Weights of the layers in the distance.", choices=tuple(LAYERS))

    @classmethod
    def published(cls, iterations: int = 1000) -> "Grnn":
        """The paper's search, from one generator: RMSprop on the plain sum, labels from the branch, no smoothing."""
        return cls(
            iterations=iterations,
            restarts=0,
            rate=1e-4,
            schedule="constant",
            optimiser="rmsprop",
            smooth=0.0,
            variation=1e-3,
            scale="sum",
            root=1.0,
            labels="branch",
        )

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One reconstruction for each observation; of images only."""
        for one in observations:
            if len(one.input_shape) != 3:
                raise Unsuited("the generator makes images (C, H, W), not table rows")

        def method(victims: Victims) -> list[Reconstruction]:
            run, index = _Run(self, victims, rng), torch.arange(len(victims), device=victims.mean.device)
            for turn in range(1 + self.restarts):
                open_rows = index[~(run.best.loss <= self.solved)]
                if len(open_rows):
                    run.train(open_rows, partial(_tell, progress, turn, 1 + self.restarts))
            progress(1.0)
            return run.best.reconstructions(victims)

        return solve(observations, device, method)

    def rate_at(self, turn: int) -> float:
        """The learning rate of a step."""
        if self.schedule == "constant":
            return self.rate
        return self.rate * min(1.0, (turn + 1) / WARM) * decay("cosine", turn / self.iterations)

    def bend_at(self, turn: int) -> float:
        """How wide kinks are at a step, in deviations of what they get: narrower and narrower, then nothing."""
        share = turn / (BENT * self.iterations)
        return narrowed(self.smooth, share) if share < 1.0 else 0.0

    def optimiser_of(self, tensors: list[Tensor]) -> torch.optim.Optimizer:
        """What trains these weights."""
        if self.optimiser == "rmsprop":
            return torch.optim.RMSprop(tensors, self.rate, momentum=0.99)
        return torch.optim.Adam(tensors, self.rate)


def _tell(progress: Progress, turn: int, turns: int, share: float) -> None:
    progress((turn + share) / turns)


class _Run:
    """The best guesses at all victims, and what generators are trained with."""

    def __init__(self, attack: Grnn, victims: Victims, rng: np.random.Generator) -> None:
        self.attack, self.victims, self.rng = attack, victims, rng
        self.best, self.smoothed = Best.of(victims), Smoothed.of(victims)
        self.matching = Matching(self.smoothed.victims, Distance("l2", attack.layers))
        self.labels = self._read()
        self.sizes = torch.ones_like(self.best.loss)
        if attack.scale == "sum":
            rates = LAYERS[attack.layers](victims.target)
            squares = [rates[name] * part.flatten(1).square().sum(1) for name, part in victims.target.items()]
            self.sizes = torch.stack(squares).sum(0)

    def train(self, index: Tensor, progress: Progress) -> None:
        """A new generator for each of the victims at `index`."""
        attack, (generators, state), noise = self.attack, self._generators(len(index)), self._noise(len(index))
        optimiser = attack.optimiser_of(list(state.values()))
        low, high = self.victims.box
        for turn in range(attack.iterations):
            image, chance = vmap(lambda own, z: functional_call(generators, own, (z,)))(state, noise)
            x, y = low + (high - low) * image, chance if self.labels is None else self.labels[index]
            if turn == 0:
                self.smoothed.measure(x[0].detach())
            bend = attack.bend_at(turn)
            self.smoothed.bend(bend)
            losses = self._losses(self.matching(x, y, index), x, index)
            if bend == 0.0 or not self.smoothed.bends:
                self.best.offer(index, x, y, losses.detach())
            elif turn % CHECK == 0:
                self._offer_exactly(x.detach(), y.detach(), index)
            if turn % CHECK == 0:
                self.best.note()
                progress(turn / attack.iterations)
            optimiser.param_groups[0]["lr"] = attack.rate_at(turn)
            optimiser.zero_grad()
            # A generator whose loss is not a number must not stop the others.
            torch.where(losses.isfinite(), losses, 0.0).sum().backward()
            for tensor in state.values():
                if tensor.grad is not None:
                    tensor.grad.nan_to_num_(0.0, 0.0, 0.0)
            optimiser.step()

    def _offer_exactly(self, x: Tensor, y: Tensor, index: Tensor) -> None:
        """Offer a guess by the loss of the network itself: losses of bends cannot be compared."""
        self.smoothed.bend(0.0)
        self.best.offer(index, x, y, self._losses(self.matching.values(x, y, index), x, index))

    def _losses(self, apart: Tensor, x: Tensor, index: Tensor) -> Tensor:
        """(P,): the objective, for distances that are shares."""
        apart = apart * self.sizes[index]
        return apart + self.attack.root * (apart + 1e-12).sqrt() + self.attack.variation * total_variation(x)

    def _read(self) -> Tensor | None:
        """(V, B, K): labels that the generators need not give."""
        first = self.victims.first
        if self.attack.labels == "branch" and first.labels is None:
            return None
        found = torch.stack([recover(one, self.rng) for one in self.victims.observations])
        return one_hot(found, first.classes).to(self.victims.mean)

    def _noise(self, count: int) -> Tensor:
        like, shape = self.victims.mean, (count, self.victims.first.records, self.attack.noise)
        return torch.randn(shape, generator=generator(self.rng, like.device), device=like.device, dtype=like.dtype)

    def _generators(self, count: int) -> tuple[nn.Module, dict[str, Tensor]]:
        """One generator as a function, and the stacked weights (P, ...) of all."""
        first, like, made = self.victims.first, self.victims.mean, []
        for _ in range(count):
            with torch.device("meta"):
                one = Generator(first.input_shape, first.classes, self.attack.noise, self.attack.width)
            one.to_empty(device=like.device)
            initialise(one, self.rng)
            made.append(one.to(like.dtype))
        state, _ = stack_module_state(made)
        return made[0].requires_grad_(False), {name: tensor.detach().requires_grad_() for name, tensor in state.items()}


class Generator(nn.Module):
    """Noise (B, n) to images (B, C, H, W) in (0, 1) and label probabilities (B, K)."""

    def __init__(self, shape: tuple[int, ...], classes: int, noise: int, width: int) -> None:
        super().__init__()
        channels, self.height, self.breadth = shape
        blocks = max(0, math.ceil(math.log2(max(self.height, self.breadth) / SMALLEST)))
        self.label = nn.Linear(noise, classes)
        self.wide = width * 2 ** max(0, blocks - 1)
        self.begin = nn.Linear(noise, 2 * self.wide * SMALLEST * SMALLEST)
        now, layers = self.wide, []
        for _ in range(blocks):
            after = max(width, now // 2)
            layers.append(_Block(now, after))
            now = after
        self.blocks = nn.Sequential(*layers)
        self.end = nn.Conv2d(now, channels, 3, padding=1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Images and label probabilities."""
        first = nn.functional.glu(self.begin(z).reshape(len(z), 2 * self.wide, SMALLEST, SMALLEST), 1)
        # A size that is no power of two is cut out of the next one.
        image = self.end(self.blocks(first))[:, :, : self.height, : self.breadth]
        return image.sigmoid(), self.label(z).softmax(1)


class _Block(nn.Module):
    """Twice the size; normalised over the batch, without running statistics."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.grow = nn.Upsample(scale_factor=2)
        self.conv = nn.Conv2d(before, 2 * after, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * after, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.glu(self.norm(self.conv(self.grow(x))), 1)
