"""Exact features of a whole batch behind and between the convolutions, and the images that have them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.drift import steady, straight
from app.attacks.gradients.heads import LinearHead, linear_head
from app.attacks.gradients.layers import Head, LinearCall, find_head, probes, watched
from app.attacks.gradients.least_squares import levenberg_marquardt
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.peeling import Known, beyond, convolutions, peeled
from app.attacks.gradients.scaling import as_gradient, is_exact, normalised
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.spear import AGREEMENT, Recovered, Spear
from app.attacks.gradients.victims import stack
from app.parameters import parameter

NOISE = 1e-6
"""Features below this share of the record's largest, or ten times what they miss, count as zero."""
REPORTS = 20
"""Points of a trace."""
QUICKER = 5
"""How much sooner Adam ends where least squares finish what it began."""
EXACT = 1e-12
"""The misfit of an image that is found as exactly as single precision allows."""
MET = 1e-6
"""The misfit of an image up to which it vouches for the features that an update was taken to have."""
STALLED = 0.9
"""A step of least squares that leaves this share of the misfit is the last."""
CLOSE = 1e-3
"""What features may miss of the gradient that an update was turned into."""
WITHOUT = (0.3, 0.5, 0.2)
"""Shares of units that are left out in turns: few tell twins apart, and many are safer."""
TURNS, TWINS = 8, 0.03
"""How often features and their pulls follow from each other; the share of a pull below which it moves nothing."""
OPPONENTS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
"""Brightness, red against blue, and green against both."""


class Aim(ABC):
    """What is known of the images of a batch."""

    @abstractmethod
    def residuals(self, inputs: Tensor) -> Tensor:
        """(m,): what images (n, *input_shape) miss of it, differentiable twice; zeros for the private ones."""

    @property
    @abstractmethod
    def equations(self) -> int:
        """How many of them are equations, not bounds."""

    def misfit(self, inputs: Tensor) -> Tensor:
        """The sum of their squares."""
        return self.residuals(inputs).square().sum()


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

    @property
    def equations(self) -> int:
        """All features, but those that are zero because of the last ReLU."""
        return self.wanted.numel() if self.opened < 0 else int((self.wanted > 0).sum())

    def __call__(self, inputs: Tensor) -> Tensor:
        """(n, d), before the last ReLU where that is possible."""
        seen, _ = watched(self.observation, inputs, self.opened)
        return seen.calls[self.place].inputs

    def residuals(self, inputs: Tensor) -> Tensor:
        """Each image's distances, relative to the length of what is wanted of it."""
        found = self(inputs)
        return _relative(found - self.wanted if self.opened < 0 else beyond(found, self.wanted), self.wanted)


@dataclass(frozen=True)
class Layers(Aim):
    """What peeling has left: the outputs of a row of convolutions, and the gradient of the last of them."""

    observation: Observation
    known: Known
    weight: float

    @property
    def equations(self) -> int:
        """Those of the last layer, its gradient only if it counts."""
        return self.known.equations if self.weight else int((self.known.outputs > 0).sum())

    def residuals(self, inputs: Tensor) -> Tensor:
        """As those of features, with the relative distances of the gradient, whose squares count by `weight`."""
        found, before = self.known.features(normalised(self.observation, inputs))
        missed = _relative(beyond(found, self.known.outputs), self.known.outputs)
        return torch.cat([missed, self.weight**0.5 * self.known.unlike(before)]) if self.weight else missed


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
        30, "Steps of Levenberg and Marquardt for images that more equations than pixels tell of, after a fifth of "
        "Adam's steps.", minimum=0, maximum=1000,
    )  # fmt: skip
    corrections: int = parameter(
        4, "How often an update of several small steps is turned into a gradient anew.", minimum=0, maximum=100
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
        done = None if is_exact(observation) else self.finished(observation, inputs, found.labels, device)
        if done is not None:
            inputs, again, score = done
            if score > MET * len(inputs):
                # Twins that were taken for each other leave features that no images have.
                again = replace(again, tolerance=0.0)
            found, note, trace = again, f"features {again.note}; corrected for the steps", (*trace, score)
        return _reconstruction(observation, found, note, inputs, score, trace)

    def finished(
        self, observation: Observation, inputs: Tensor, labels: Tensor, device: str = "cpu"
    ) -> tuple[Tensor, Recovered, float] | None:
        """The images behind exact features, from images (n, *input_shape) that are near, and the misfit.

        Pulls at the features follow from images and labels (n,), features from pulls and the gradient, and from these
        the images; an update of small steps becomes a better gradient with every turn. None where the images are not
        near enough, or features are fewer than pixels.
        """
        result = None
        for turn in range(self.corrections):
            seen = corrected(observation, inputs, labels, device)
            if seen is None:
                break
            head = linear_head(seen, seen.shared, device)
            found = _settled(seen, head, labels, inputs, WITHOUT[turn % len(WITHOUT)])
            aim = _features(seen, _positive(found))
            if self._is_determined(aim, found, inputs):
                moved, score, _ = self._refined(seen, aim, inputs)
                if result is None or score < result[2]:
                    inputs, result = moved, (moved, found, score)
            if result is not None and result[2] <= EXACT * len(inputs):
                break
        return result

    def _aim(
        self, observation: Observation, gradient: Mapping[str, Tensor], head: LinearHead, found: Recovered
    ) -> tuple[Aim, str]:
        """The deepest that is known for certain, and the certificate in words."""
        wanted = _positive(found)
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
        is_determined = self._is_determined(aim, found, images)
        steps = -(-self.iterations // QUICKER) if is_determined else self.iterations
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
        if not is_determined:
            return inputs, float(misfit.detach()), tuple(trace)
        inputs, score, more = self._refined(observation, aim, inputs)
        return inputs, score, tuple(trace) + more

    def _is_determined(self, aim: Aim, found: Recovered, inputs: Tensor) -> bool:
        return bool(self.refinement) and found.certified and aim.equations > inputs.numel()

    def _refined(self, observation: Observation, aim: Aim, inputs: Tensor) -> tuple[Tensor, float, tuple[float, ...]]:
        """Better images from good ones, with their misfit and its trace."""
        trace = [float(aim.misfit(inputs))]
        box = (observation.low, observation.high)
        for moved in levenberg_marquardt(aim.residuals, inputs, box, self.refinement):
            inputs = moved
            trace.append(float(aim.misfit(inputs)))
            if trace[-1] <= EXACT * len(inputs) or trace[-1] > STALLED * trace[-2]:
                break
        return inputs, trace[-1], tuple(trace)

    def _weight(self, done: float) -> float:
        if not self.variation or not self.last_variation:
            return self.variation
        return self.variation * (self.last_variation / self.variation) ** done


def corrected(observation: Observation, inputs: Tensor, labels: Tensor, device: str) -> Observation | None:
    """The gradient that an update of several small steps stands for, right if these records are (see `drift`).

    A gradient, or an update of one step, needs no correction. None where steps are too long for one.
    """
    if is_exact(observation):
        return replace(observation, shared=as_gradient(observation, device), training=None)
    victims = stack([observation], device)
    matching = Matching(victims)
    guess = victims.inside(inputs)[None], one_hot(labels, observation.classes).to(inputs)[None]
    if not steady(matching, guess):
        return None
    target = straight(matching, guess).victims.target
    return replace(observation, shared={name: value[0] for name, value in target.items()}, training=None)


def _settled(observation: Observation, head: LinearHead, labels: Tensor, inputs: Tensor, without: float) -> Recovered:
    """Features of images that are near, as the gradient has them.

    Some units of the first layer switch between what is near and what is right, or while the client trains. A share
    `without` of the units, those that are nearest to it, are left out. Twins, which the others hardly tell apart, stay
    where they are (Tikhonov's regularisation).
    """
    layer, features = head.layers[0], _head_call(observation, inputs)[1].inputs.double()
    margin = (features @ layer.weight.T + layer.bias).abs().amin(0)
    rows = margin >= margin.quantile(without)
    missed = torch.inf
    for _ in range(TURNS):
        pull = head.pulls(features, labels)[0][rows]
        gap = layer.weight_gradient[rows] - pull @ features
        missed = float(gap.norm() / layer.weight_gradient[rows].norm().clamp_min(1e-300))
        normal = pull.T @ pull
        normal.diagonal().add_(TWINS**2 * normal.diagonal().max().clamp_min(1e-300))
        features = (features + torch.linalg.solve(normal, pull.T @ gap)).clamp_min(0)
    # Pulls come from these very features, so that the units agree by construction: what counts is the gradient.
    agreement = torch.ones(len(features), device=features.device)
    return Recovered(features, labels, agreement, missed, exact=True, tolerance=CLOSE)


def _positive(found: Recovered) -> Tensor:
    """(n, d): the features, with those that may be zero made so."""
    wanted = found.inputs.float()
    noise = max(NOISE, 10.0 * found.residual if found.certified else 0.0)
    return torch.where(wanted > noise * wanted.amax(1, keepdim=True), wanted, 0.0)


def _head_call(observation: Observation, inputs: Tensor) -> tuple[int, LinearCall]:
    """Which of the linear layers begins the head of the model, and what it does with the inputs."""
    head = find_head(observation)
    assert isinstance(head, Head), "the model has a head, since its layers were read"  # noqa: S101 (checked before)
    with torch.no_grad():
        seen, _ = watched(observation, inputs)
    place = len(seen.calls) - len(head.calls)
    return place, seen.calls[place]


def _features(observation: Observation, wanted: Tensor) -> Features:
    """The features that the head of the model takes; without their ReLU if max-pooling at most comes after it."""
    inputs = probes(observation).to(wanted)
    place, call = _head_call(observation, inputs)
    plain = Features(observation, -1, place, wanted)
    if not call.rectified:
        return plain
    opened = Features(observation, call.rectified - 1, place, wanted)
    with torch.no_grad():
        fits = torch.allclose(opened(inputs).clamp_min(0), call.inputs, atol=1e-6)
    return opened if fits else plain


def _relative(gap: Tensor, wanted: Tensor) -> Tensor:
    """The distances (n, ...) of n records, relative to the lengths of what is wanted, as one row."""
    return (gap.flatten(1) / wanted.flatten(1).norm(dim=1, keepdim=True).clamp_min(1e-15)).flatten()


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
