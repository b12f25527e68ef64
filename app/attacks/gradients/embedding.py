"""Exact features of a whole batch behind and between the convolutions, and the images that have them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.aims import Aim, Layers, of_features, positive
from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.finishing import CORRECTIONS, STEPS, finished, is_determined, refined
from app.attacks.gradients.heads import LinearHead, linear_head
from app.attacks.gradients.peeling import Known, convolutions, peeled
from app.attacks.gradients.scaling import as_gradient, is_exact
from app.attacks.gradients.spear import AGREEMENT, Recovered, Spear
from app.parameters import parameter

REPORTS = 20
"""Points of a trace."""
QUICKER = 5
"""How much sooner Adam ends where least squares finish what it began."""
MET = 1e-6
"""The misfit of an image up to which it vouches for the features that an update was taken to have."""
OPPONENTS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
"""Brightness, red against blue, and green against both."""


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
        "variation, of brightness and of opponent colours, starts strong and fades. Where certain features are more "
        "than the pixels, least squares (see `least_squares`) then find the images exactly; an update of several small "
        "steps is turned into a gradient that they correct (see `drift`)."
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
    refinement: int = parameter(
        STEPS, "Steps of Levenberg and Marquardt for images that more equations than pixels tell of, after a fifth of "
        "Adam's steps.", minimum=0, maximum=1000,
    )  # fmt: skip
    corrections: int = parameter(
        CORRECTIONS,
        "How often an update of several small steps is turned into a gradient anew.",
        minimum=0,
        maximum=100,
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
        if any(len(each.input_shape) != 3 for each in observations):
            raise Unsuited("features are inverted for images only")
        heads = [linear_head(each, as_gradient(each, device), device) for each in observations]
        results = []
        for place, (observation, head) in enumerate(zip(observations, heads, strict=True)):
            results.append(self._one(observation, head, rng, device))
            progress((place + 1) / len(observations))
        return results

    def _one(self, observation: Observation, head: LinearHead, rng: np.random.Generator, device: str) -> Reconstruction:
        found = Spear(samples=self.samples).recover(observation, head, rng)
        aim, note = self._aim(observation, as_gradient(observation, device), head, found)
        inputs, score, trace = self.invert(observation, aim, found, rng, device)
        done = None
        if self.refinement and not is_exact(observation):
            done = finished(observation, inputs, found.labels, device, self.refinement, self.corrections)
        if done is not None:
            inputs, found, score = done.inputs, done.features, done.misfit
            if score > MET * len(inputs):
                # Twins that were taken for each other leave features that no images have.
                found = replace(found, tolerance=0.0)
            note, trace = f"features {found.note}; corrected for the steps", (*trace, score)
        return _reconstruction(observation, found, note, inputs, score, trace)

    def _aim(
        self, observation: Observation, gradient: Mapping[str, Tensor], head: LinearHead, found: Recovered
    ) -> tuple[Aim, str]:
        """The deepest that is known for certain, and the certificate in words."""
        wanted = positive(found)
        layers = convolutions(observation, gradient) if found.certified and self.peeling else ()
        if not layers:
            return of_features(observation, wanted), f"features {found.note}"
        pull = head.pulls(found.inputs, found.labels)[0].T @ head.layers[0].weight
        outputs = wanted.reshape(len(wanted), *layers[-1].outputs)
        known = Known(layers, outputs, pull.float().reshape_as(outputs) * (outputs > 0))
        before = peeled(known, self.peeling)
        note = f"features {found.note}; layers peeled: {len(layers) - len(before.layers)}"
        # With every further ReLU in between, the gradient leads into more false minima.
        weight = self.gradient * 0.1 ** max(0, len(before.layers) - 2)
        return Layers(observation, before, weight), note

    def invert(
        self, observation: Observation, aim: Aim, found: Recovered, rng: np.random.Generator, device: str = "cpu"
    ) -> tuple[Tensor, float, tuple[float, ...]]:
        """Images (n, *input_shape) that reach the aim, the last misfit, and its trace."""
        low, width = observation.low, observation.high - observation.low
        generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
        noise = torch.rand(len(found.inputs), *observation.input_shape, generator=generator).to(device)
        images = (0.49 + 0.02 * noise).requires_grad_(True)
        optimiser = torch.optim.Adam([images], lr=self.learning_rate)
        axes = _axes(images.shape[1], self.colour).to(images)
        trace, misfit = [], images.new_zeros(())
        ends_exactly = bool(self.refinement) and is_determined(aim, found, images)
        steps = -(-self.iterations // QUICKER) if ends_exactly else self.iterations
        for step in range(steps):
            done = step / steps
            optimiser.param_groups[0]["lr"] = self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
            with torch.enable_grad():
                misfit = aim.misfit(low + width * images)
                loss = misfit + self._weight(done) * _variation(torch.einsum("oc,nchw->nohw", axes, images))
                (images.grad,) = torch.autograd.grad(loss, images)
            optimiser.step()
            with torch.no_grad():
                images.clamp_(0.0, 1.0)
            if step % max(1, steps // REPORTS) == 0:
                trace.append(float(misfit.detach()))
        inputs = low + width * images.detach()
        if not ends_exactly:
            return inputs, float(misfit.detach()), tuple(trace)
        inputs, more = refined(observation, aim, inputs, self.refinement)
        return inputs, more[-1], (*trace, *more)

    def _weight(self, done: float) -> float:
        if not self.variation or not self.last_variation:
            return self.variation
        return self.variation * (self.last_variation / self.variation) ** done


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
