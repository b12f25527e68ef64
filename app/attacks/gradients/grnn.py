"""Generative regression: a fresh generator is trained until its images and labels give the shared gradient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.distances import LAYERS, Distance
from app.attacks.gradients.labels import recover
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.networks import initialise
from app.attacks.gradients.priors import total_variation
from app.attacks.gradients.search import CHECK, Best, generator, solve
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.victims import Victims
from app.parameters import parameter

SMALLEST = 4
"""The side of the feature maps that the image branch begins with."""


@dataclass(frozen=True)
class Grnn(GradientAttack):
    """Train a generator of images and labels, from fixed noise, on the distance of the gradients."""

    title: ClassVar[str] = "Generative regression neural network"
    source: ClassVar[str] = (
        "Ren, Deng and Xie, 2022, ACM TIST 13(4), algorithm 1 and figure 2. Of any image size and range; the squared "
        "distance is a share of the gradient's; Adam beside the paper's RMSprop; several generators for each victim."
    )

    iterations: int = parameter(1000, "Steps of the generator.", minimum=1, maximum=1_000_000)
    restarts: int = parameter(2, "Further generators for victims whose own loss is not small.", minimum=0, maximum=1000)
    solved: float = parameter(1e-3, "The loss that is small enough not to begin anew.", minimum=0.0, maximum=1.0)
    rate: float = parameter(1e-3, "Learning rate (the paper: 1e-4 for RMSprop).", minimum=1e-7, maximum=1.0)
    optimiser: str = parameter("adam", "What trains the generator.", choices=("adam", "rmsprop"))
    variation: float = parameter(1e-3, "Weight of the total variation.", minimum=0.0, maximum=100.0)
    root: float = parameter(
        0.0, "Weight of the root of the distance, which is the paper's Wasserstein term.", minimum=0.0, maximum=100.0
    )
    width: int = parameter(32, "Channels of the last block of the generator.", minimum=1, maximum=1024)
    noise: int = parameter(128, "Values of the noise.", minimum=1, maximum=10_000)
    labels: str = parameter(
        "branch", "Labels come from a branch of the generator, or are read from the last layer.",
        choices=("branch", "read"),
    )  # fmt: skip
    layers: str = parameter("early", "Weights of the layers in the distance.", choices=tuple(LAYERS))

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
            best, index = Best.of(victims), torch.arange(len(victims), device=victims.mean.device)
            for turn in range(1 + self.restarts):
                open_rows = index[~(best.loss <= self.solved)]
                if len(open_rows):
                    self._train(victims, open_rows, best, rng)
                progress((turn + 1) / (1 + self.restarts))
            return best.reconstructions(victims)

        return solve(observations, device, method)

    def _train(self, victims: Victims, index: Tensor, best: Best, rng: np.random.Generator) -> None:
        """A new generator for each of the victims at `index`."""
        matching, fixed = Matching(victims, Distance("l2", self.layers)), self._fixed(victims, index, rng)
        generators, state = self._generators(victims, len(index), rng)
        draw = generator(rng, index.device)
        first = victims.first
        noise = torch.randn(
            len(index), first.records, self.noise, generator=draw, device=index.device, dtype=victims.mean.dtype
        )
        optimiser = self._optimiser(list(state.values()))
        for turn in range(self.iterations):
            image, chance = vmap(lambda own, z: functional_call(generators, own, (z,)))(state, noise)
            low, high = victims.box
            x, y = low + (high - low) * image, chance if fixed is None else fixed
            apart = matching(x, y, index)
            losses = apart + self.root * (apart + 1e-12).sqrt() + self.variation * total_variation(x)
            best.offer(index, x, y, losses.detach())
            optimiser.zero_grad()
            # A generator whose loss is not a number must not stop the others.
            torch.where(losses.isfinite(), losses, 0.0).sum().backward()
            for tensor in state.values():
                if tensor.grad is not None:
                    tensor.grad.nan_to_num_(0.0, 0.0, 0.0)
            optimiser.step()
            if turn % CHECK == 0:
                best.note()

    def _optimiser(self, tensors: list[Tensor]) -> torch.optim.Optimizer:
        if self.optimiser == "rmsprop":
            return torch.optim.RMSprop(tensors, self.rate, momentum=0.99)
        return torch.optim.Adam(tensors, self.rate)

    def _fixed(self, victims: Victims, index: Tensor, rng: np.random.Generator) -> Tensor | None:
        """(P, B, K): labels that the generator need not give."""
        if self.labels == "branch" and victims.first.labels is None:
            return None
        found = torch.stack([recover(one, rng) for one in victims.observations]).to(index.device)
        return one_hot(found, victims.first.classes).to(victims.mean)[index]

    def _generators(
        self, victims: Victims, count: int, rng: np.random.Generator
    ) -> tuple[nn.Module, dict[str, Tensor]]:
        """One generator as a function, and the stacked weights (P, ...) of all."""
        first, like, made = victims.first, victims.mean, []
        for _ in range(count):
            with torch.device("meta"):
                one = Generator(first.input_shape, first.classes, self.noise, self.width)
            one.to_empty(device=like.device)
            initialise(one, rng)
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
