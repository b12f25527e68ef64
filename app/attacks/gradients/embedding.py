"""Exact features of a whole batch behind and between the convolutions, and the images that have them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.heads import LinearHead, linear_head
from app.attacks.gradients.layers import Head, find_head, probes, watched
from app.attacks.gradients.peeling import Known, beyond, convolutions, peeled
from app.attacks.gradients.scaling import as_gradient, normalised
from app.attacks.gradients.spear import AGREEMENT, Recovered, Spear
from app.parameters import parameter

NOISE = 1e-6
"""Features below this share of the record's largest count as zero."""
REPORTS = 20
"""Points of a trace."""
OPPONENTS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
"""Brightness, red against blue, and green against both."""


class Aim(ABC):
    """What is known of the images of a batch."""

    @abstractmethod
    def misfit(self, inputs: Tensor) -> Tensor:
        """How far images (n, *input_shape) are from it, differentiable; zero for the private ones."""


@dataclass(frozen=True)
class Features(Aim):
    """The inputs of the first linear layer, at the end of any differentiable map from images."""

    observation: Observation
    opened: int
    """The last ReLU before the features, if it can be taken away; otherwise -1."""
    place: int
    """Which of the linear layers takes the features."""
    wanted: Tensor
    """(n, d)."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """(n, d), before the last ReLU where that is possible."""
        seen, _ = watched(self.observation, inputs, self.opened)
        return seen.calls[self.place].inputs

    def misfit(self, inputs: Tensor) -> Tensor:
        """The sum of the images' relative squared distances."""
        found = self(inputs)
        return _relative(found - self.wanted if self.opened < 0 else beyond(found, self.wanted), self.wanted)


@dataclass(frozen=True)
class Layers(Aim):
    """What peeling has left: the outputs of a row of convolutions, and the gradient of the last of them."""

    observation: Observation
    known: Known
    weight: float

    def misfit(self, inputs: Tensor) -> Tensor:
        """As that of features, with the relative squared distance of the gradient at `weight`."""
        found, before = self.known.features(normalised(self.observation, inputs))
        missed = _relative(beyond(found, self.known.outputs), self.known.outputs)
        return missed + self.weight * self.known.unlike(before) if self.weight else missed


@dataclass(frozen=True)
class EmbeddingInversion(GradientAttack):
    """Recover the inputs of the first linear layer exactly, peel convolutions, search images that give the rest."""

    title: ClassVar[str] = "Exact embeddings, then feature inversion"
    source: ClassVar[str] = (
        "The two stages of CPA for convolutional networks (Kariyappa et al., 2023, ICML, section 5), with SPEAR "
        "(Dimitrov et al., 2024, NeurIPS) instead of source separation. Variant of the house: where all layers before "
        "are convolutions with a ReLU, the inputs of the last ones follow exactly for the whole batch from a convex "
        "problem (R-GAP of Zhu and Blaschko, 2021, ICLR, solves the like for one record), and the gradient of the next "
        "guides the search. Features that are zero bound the values before their ReLU from one side only; the total "
        "variation, of brightness and of opponent colours, starts strong and fades."
    )

    iterations: int = parameter(1000, "Steps of Adam for the images.", minimum=1, maximum=100_000)
    learning_rate: float = parameter(
        0.3, "First rate of Adam; it falls to zero as a cosine.", minimum=1e-4, maximum=10.0
    )
    variation: float = parameter(3.0, "First weight of the total variation.", minimum=0.0, maximum=1e4)
    last_variation: float = parameter(3e-3, "Last weight of the total variation.", minimum=0.0, maximum=1e4)
    colour: float = parameter(
        2.0, "Weight of the variation of colours beside that of brightness.", minimum=0.0, maximum=100.0
    )
    peeling: int = parameter(
        4000, "Steps for the inputs of a convolution at most; 0 starts from the features.", minimum=0, maximum=100_000
    )
    gradient: float = parameter(
        10.0, "Weight of the gradient of the last convolution that is left.", minimum=0.0, maximum=1e4
    )
    samples: int = parameter(400_000, "Sub-matrices that SPEAR samples at most.", minimum=100, maximum=100_000_000)

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One after the other; the images of a batch together."""
        gradients = [as_gradient(each, device) for each in observations]
        heads = [linear_head(*pair, device) for pair in zip(observations, gradients, strict=True)]
        if any(len(each.input_shape) != 3 for each in observations):
            raise Unsuited("features are inverted for images only")
        results = []
        for place, (observation, head) in enumerate(zip(observations, heads, strict=True)):
            found = Spear(samples=self.samples).recover(observation, head, rng)
            aim, note = self._aim(observation, gradients[place], head, found)
            inputs, score, trace = self.invert(observation, aim, len(found.inputs), rng, device)
            results.append(_reconstruction(observation, found, note, inputs, score, trace))
            progress((place + 1) / len(observations))
        return results

    def _aim(
        self, observation: Observation, gradient: Mapping[str, Tensor], head: LinearHead, found: Recovered
    ) -> tuple[Aim, str]:
        """The deepest that is known for certain, and the certificate in words."""
        wanted = found.inputs.float()
        wanted = torch.where(wanted > NOISE * wanted.amax(1, keepdim=True), wanted, 0.0)
        layers = convolutions(observation, gradient) if found.certified and self.peeling else ()
        if not layers:
            return _features(observation, wanted), f"features {found.note}"
        pull = head.pulls(found.inputs, found.labels)[0].T @ head.layers[0].weight
        outputs = wanted.reshape(len(wanted), *layers[-1].outputs)
        known = Known(layers, outputs, pull.float().reshape_as(outputs) * (outputs > 0))
        before = peeled(known, self.peeling)
        note = f"features {found.note}; layers peeled: {len(layers) - len(before.layers)}"
        # With every further ReLU in between, the gradient leads into more false minima.
        weight = self.gradient * 0.1 ** max(0, len(before.layers) - 2)
        return Layers(observation, before, weight), note

    def invert(
        self, observation: Observation, aim: Aim, count: int, rng: np.random.Generator, device: str = "cpu"
    ) -> tuple[Tensor, float, tuple[float, ...]]:
        """Images (count, *input_shape) that reach the aim, the last misfit, and its trace."""
        low, width = observation.low, observation.high - observation.low
        generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
        noise = torch.rand(count, *observation.input_shape, generator=generator).to(device)
        images = (0.49 + 0.02 * noise).requires_grad_(True)
        optimiser = torch.optim.Adam([images], lr=self.learning_rate)
        axes = _axes(images.shape[1], self.colour).to(images)
        trace, misfit = [], images.new_zeros(())
        for step in range(self.iterations):
            done = step / self.iterations
            optimiser.param_groups[0]["lr"] = self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
            with torch.enable_grad():
                misfit = aim.misfit(low + width * images)
                loss = misfit + self._weight(done) * _variation(torch.einsum("oc,nchw->nohw", axes, images))
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


def _features(observation: Observation, wanted: Tensor) -> Features:
    """The features that the head of the model takes; without their ReLU if max-pooling at most comes after it."""
    inputs, head = probes(observation).to(wanted), find_head(observation)
    assert isinstance(head, Head), "the model has a head, since its layers were read"  # noqa: S101 (checked before)
    with torch.no_grad():
        seen, _ = watched(observation, inputs)
        place = len(seen.calls) - len(head.calls)
        call = seen.calls[place]
        plain = Features(observation, -1, place, wanted)
        if not call.rectified:
            return plain
        opened = Features(observation, call.rectified - 1, place, wanted)
        fits = torch.allclose(opened(inputs).clamp_min(0), call.inputs, atol=1e-6)
    return opened if fits else plain


def _relative(gap: Tensor, wanted: Tensor) -> Tensor:
    """The sum over records of squared distances, relative to the squared length of what is wanted."""
    return (gap.flatten(1).square().sum(1) / wanted.flatten(1).square().sum(1).clamp_min(1e-30)).sum()


def _axes(channels: int, colour: float) -> Tensor:
    """(C, C): what turns channels into those whose variation counts: brightness and two opponent colours for three.

    The axes are orthonormal but for the weight `colour`. Edges of natural pictures are edges of all channels, so that
    their colours vary much less than their brightness.
    """
    if channels != len(OPPONENTS):
        return torch.eye(channels)
    weights = torch.tensor([[1.0], [colour], [colour]])
    return torch.nn.functional.normalize(torch.tensor(OPPONENTS), dim=1) * weights


def _variation(images: Tensor) -> Tensor:
    """The sum over images (n, C, H, W) of the mean absolute differences of neighbours along both sides."""
    across, down = images.diff(dim=3).abs(), images.diff(dim=2).abs()
    return across.mean((1, 2, 3)).sum() + down.mean((1, 2, 3)).sum()


def _reconstruction(
    observation: Observation, found: Recovered, note: str, inputs: Tensor, score: float, trace: tuple[float, ...]
) -> Reconstruction:
    order = torch.arange(observation.records, device=inputs.device) % len(inputs)
    sure = (found.agreement >= AGREEMENT) & (found.certified or not found.exact)
    return Reconstruction(inputs[order], found.labels[order], score, trace, note, sure[order])
