"""Exact features of a whole batch behind the convolutions, and the images that have them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.heads import linear_head
from app.attacks.gradients.layers import Head, find_head, probes, watched
from app.attacks.gradients.scaling import as_gradient
from app.attacks.gradients.spear import AGREEMENT, Recovered, Spear
from app.parameters import parameter

NOISE = 1e-5
"""Features below this share of the record's largest count as zero."""
REPORTS = 20
"""Points of a trace."""


@dataclass(frozen=True)
class Features:
    """The differentiable map from images to the features that were recovered."""

    observation: Observation
    opened: int
    """The last ReLU before the features, if it can be taken away; otherwise -1."""
    place: int
    """Which of the linear layers takes the features."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """(n, d), before the last ReLU where that is possible."""
        seen, _ = watched(self.observation, inputs, self.opened)
        return seen.calls[self.place].inputs


@dataclass(frozen=True)
class EmbeddingInversion(GradientAttack):
    """Recover the inputs of the first linear layer exactly, then search the images that give them."""

    title: ClassVar[str] = "Exact embeddings, then feature inversion"
    source: ClassVar[str] = (
        "The two stages of CPA for convolutional networks (Kariyappa et al., 2023, ICML, section 5), with SPEAR "
        "(Dimitrov et al., 2024, NeurIPS) instead of source separation. Features that are zero bound the values before "
        "their ReLU from one side only; the total variation starts strong and fades."
    )

    iterations: int = parameter(1000, "Steps of Adam for the images.", minimum=1, maximum=100_000)
    learning_rate: float = parameter(
        0.3, "First rate of Adam; it falls to zero as a cosine.", minimum=1e-4, maximum=10.0
    )
    variation: float = parameter(3.0, "First weight of the total variation.", minimum=0.0, maximum=1e4)
    last_variation: float = parameter(3e-3, "Last weight of the total variation.", minimum=0.0, maximum=1e4)
    samples: int = parameter(400_000, "Sub-matrices that SPEAR samples at most.", minimum=100, maximum=100_000_000)

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One after the other; the images of a batch together."""
        heads = [linear_head(each, as_gradient(each, device), device) for each in observations]
        if any(len(each.input_shape) != 3 for each in observations):
            raise Unsuited("features are inverted for images only")
        results = []
        for place, (observation, head) in enumerate(zip(observations, heads, strict=True)):
            found = Spear(samples=self.samples).recover(observation, head, rng)
            features = _features(observation)
            inputs, score, trace = self.invert(features, found.inputs.float(), rng)
            results.append(_reconstruction(observation, found, inputs, score, trace))
            progress((place + 1) / len(observations))
        return results

    def invert(
        self, features: Features, wanted: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, float, tuple[float, ...]]:
        """Images (n, *input_shape) whose features are `wanted` (n, d), the last loss, and its trace."""
        observation = features.observation
        low, width = observation.low, observation.high - observation.low
        wanted = torch.where(wanted > NOISE * wanted.amax(1, keepdim=True), wanted, 0.0)
        size = wanted.square().sum(1).clamp_min(1e-30)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
        noise = torch.rand(len(wanted), *observation.input_shape, generator=generator).to(wanted.device)
        images = (0.49 + 0.02 * noise).requires_grad_(True)
        optimiser = torch.optim.Adam([images], lr=self.learning_rate)
        trace, misfit = [], wanted.new_zeros(())
        for step in range(self.iterations):
            done = step / self.iterations
            optimiser.param_groups[0]["lr"] = self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
            with torch.enable_grad():
                gap = features(low + width * images) - wanted
                # Below zero, any value before the ReLU gives the same feature.
                gap = gap if features.opened < 0 else torch.where(wanted > 0, gap, (gap + wanted).clamp_min(0))
                misfit = (gap.square().sum(1) / size).sum()
                loss = misfit + self._weight(done) * _variation(images)
                (images.grad,) = torch.autograd.grad(loss, images)
            optimiser.step()
            with torch.no_grad():
                images.clamp_(0.0, 1.0)
            if step % max(1, self.iterations // REPORTS) == 0:
                trace.append(float(misfit.detach()))
        return low + width * images.detach(), float(misfit.detach()), tuple(trace)

    def _weight(self, done: float) -> float:
        if not self.variation or not self.last_variation:
            return self.variation
        return self.variation * (self.last_variation / self.variation) ** done


def _features(observation: Observation) -> Features:
    """The features that the head of the model takes; without their ReLU if max-pooling at most comes after it."""
    inputs, head = probes(observation).float(), find_head(observation)
    assert isinstance(head, Head), "the model has a head, since its layers were read"  # noqa: S101 (checked before)
    with torch.no_grad():
        seen, _ = watched(observation, inputs)
        place = len(seen.calls) - len(head.calls)
        call = seen.calls[place]
        plain = Features(observation, -1, place)
        if not call.rectified:
            return plain
        opened = Features(observation, call.rectified - 1, place)
        fits = torch.allclose(opened(inputs).clamp_min(0), call.inputs, atol=1e-6)
    return opened if fits else plain


def _variation(images: Tensor) -> Tensor:
    """The sum over images (n, C, H, W) of the mean absolute differences of neighbours along both sides."""
    across, down = images.diff(dim=3).abs(), images.diff(dim=2).abs()
    return across.mean((1, 2, 3)).sum() + down.mean((1, 2, 3)).sum()


def _reconstruction(
    observation: Observation, found: Recovered, inputs: Tensor, score: float, trace: tuple[float, ...]
) -> Reconstruction:
    order = torch.arange(observation.records, device=inputs.device) % len(inputs)
    sure = (found.agreement >= AGREEMENT) & (found.certified or not found.exact)
    note = f"features {found.note}"
    return Reconstruction(inputs[order], found.labels[order], score, trace, note, sure[order])
