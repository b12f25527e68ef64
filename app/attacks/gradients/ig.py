"""Inverting gradients: the direction of the gradient is matched, not its length."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.best import Best
from app.attacks.gradients.distances import KINDS, LAYERS, Distance
from app.attacks.gradients.drift import straight
from app.attacks.gradients.finishing import finished
from app.attacks.gradients.labels import recover
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.priors import total_variation
from app.attacks.gradients.search import Prior, SignedAdam, generator, solve
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.smoothing import BENT, Smoothed, narrowed
from app.attacks.gradients.victims import Victims
from app.parameters import parameter

LAST = 0.02
"""Of the rate is left for the steps after those in which kinks bend."""
FINISHED = "finished by least squares on the features"


@dataclass(frozen=True)
class InvertingGradients(GradientAttack):
    """Turn the dummy gradient, or update, into the direction of the shared one, for smooth images in the box."""

    title: ClassVar[str] = "Inverting gradients"
    source: ClassVar[str] = (
        "Geiping, Bauermeister, Droege and Moeller, 2020, NeurIPS, eq. 4: cosine and total variation, signed Adam; "
        "section 5 for updates of several local steps. Labels are read first, the rate follows a half cosine; updates "
        "of small steps are matched by one gradient, which is corrected in turns until the update itself is met. "
        "Smoothing ReLUs, and the end by least squares (see `finishing`), are additions."
    )

    iterations: int = parameter(1500, "Steps of each start (the paper: 4,800).", minimum=1, maximum=1_000_000)
    restarts: int = parameter(0, "Further starts, all at once.", minimum=0, maximum=1000)
    rate: float = parameter(0.1, "Learning rate of Adam.", minimum=1e-6, maximum=100.0)
    variation: float = parameter(0.05, "Weight of the total variation.", minimum=0.0, maximum=100.0)
    schedule: str = parameter(
        "cosine", "How the rate falls: in three steps as in the paper, or along a half cosine.",
        choices=("steps", "cosine"),
    )  # fmt: skip
    labels: str = parameter(
        "read", "Labels are read from the last layer, or searched for together with the inputs.",
        choices=("read", "joint"),
    )  # fmt: skip
    distance: str = parameter("cosine", "What is made small.", choices=tuple(KINDS))
    layers: str = parameter("equal", "Weights of the layers in it.", choices=tuple(LAYERS))
    start: str = parameter("normal", "Starts are normal in model space, or uniform.", choices=("normal", "uniform"))
    patience: int = parameter(
        0, "Iterations without a better loss that end the search; 0 never does.", minimum=0, maximum=1_000_000
    )
    corrections: int = parameter(
        10, "How often a gradient in the place of an update of small steps is corrected; 0: all steps are simulated.",
        minimum=0, maximum=1000,
    )  # fmt: skip
    smooth: float = parameter(
        0.0, "How wide kinks of ReLUs are at first, in deviations of what they get; they narrow, and the last fifth of "
        "the steps is the network's own. For batches that the search loses at kinks. 0: never.",
        minimum=0.0, maximum=10.0,
    )  # fmt: skip
    finish: bool = parameter(
        True, "Let least squares finish images that are near, where a linear layer with a ReLU gives their features."
    )
    compiled: bool = parameter(False, "Compile the objective where there is a compiler; the result is the same.")

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One reconstruction for each observation; known labels are used."""

        def method(victims: Victims) -> list[Reconstruction]:
            search, start = self.search(victims, rng), BENT if self.smooth else 0.0
            if self.smooth:
                search = self._after_bends(search, partial(_part, progress, 0.0, start))
            best = search.run(progress=partial(_part, progress, start, 1.0)).result()
            exact = self._finish(search, best, device) if self.finish else ()
            found = best.reconstructions(victims)
            return [replace(one, note=FINISHED) if row in exact else one for row, one in enumerate(found)]

        return solve(observations, device, method)

    def search(self, victims: Victims, rng: np.random.Generator) -> SignedAdam:
        """The search at its beginning, which can be run in parts."""
        device = victims.mean.device
        index = torch.arange(len(victims), device=device).repeat_interleave(1 + self.restarts)
        draw = generator(rng, device)
        return SignedAdam(
            matching=Matching(victims, Distance(self.distance, self.layers), self.compiled),
            index=index,
            x=self._starts(victims, len(index), draw),
            y=self._labels(victims, index, rng, draw),
            iterations=self.iterations,
            rate=self.rate,
            schedule=self.schedule,
            joint=self.labels == "joint" and victims.first.labels is None,
            priors=self.priors(victims, index),
            patience=self.patience,
            corrections=self.corrections,
        )

    def _after_bends(self, search: SignedAdam, progress: Progress) -> SignedAdam:
        """The search from where one through ever narrower kinks has led; itself where no kink can bend."""
        smoothed = Smoothed.of(search.matching.victims)
        if not smoothed.bends:
            return search
        steps = int(BENT * search.iterations)
        matching = replace(search.matching, victims=smoothed.victims, compiled=False)
        matching = straight(matching) if search.straightened else matching
        bent = replace(search, matching=matching, iterations=steps, corrections=0, patience=0)
        smoothed.measure(search.x[0])
        for turn in range(steps):
            smoothed.bend(narrowed(self.smooth, turn / steps))
            bent.run(turn + 1)
            progress(turn / steps)
        left = max(1, search.iterations - steps)
        return replace(search, x=bent.x, y=bent.y, iterations=left, rate=LAST * search.rate)

    def _finish(self, search: SignedAdam, best: Best, device: str) -> Collection[int]:
        """Put exact images in the place of those that are near, where that lowers the loss; returns these rows."""
        victims, before = search.matching.victims, best.loss.clone()
        for row, observation in enumerate(victims.observations):
            with suppress(Unsuited):
                inputs, labels = victims.outside(best.x[row]), best.y[row].argmax(1)
                done = finished(observation, inputs, labels, device)
                if done is not None:
                    x, y = victims.inside(done.inputs)[None], one_hot(labels, observation.classes).to(best.y)[None]
                    index = torch.tensor([row], device=x.device)
                    best.offer(index, x, y, search.judged(x, y, index))
        return (best.loss < before).nonzero()[:, 0].tolist()

    def priors(self, victims: Victims, index: Tensor) -> Sequence[tuple[float, Prior]]:
        """Penalties and their weights."""
        return [(self.variation, total_variation)] if self.variation else []

    def _starts(self, victims: Victims, count: int, draw: torch.Generator) -> Tensor:
        shape, like = (count, victims.first.records, *victims.first.input_shape), victims.mean
        if self.start == "normal":
            return torch.randn(shape, generator=draw, device=like.device, dtype=like.dtype)
        low, high = victims.box
        return low + (high - low) * torch.rand(shape, generator=draw, device=like.device, dtype=like.dtype)

    def _labels(self, victims: Victims, index: Tensor, rng: np.random.Generator, draw: torch.Generator) -> Tensor:
        like, first = victims.mean, victims.first
        if self.labels == "joint" and first.labels is None:
            shape = (len(index), first.records, first.classes)
            return torch.randn(shape, generator=draw, device=like.device, dtype=like.dtype)
        found = torch.stack([recover(one, rng) for one in victims.observations]).to(like.device)
        return one_hot(found, first.classes).to(like)[index]


def _part(progress: Progress, start: float, end: float, share: float) -> None:
    progress(start + (end - start) * share)
