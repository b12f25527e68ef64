"""The Cocktail Party Attack: records told apart as voices are, by their statistical independence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.analytic import first_linear
from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.labelling import labelled
from app.attacks.gradients.scaling import as_gradient, denormalised
from app.parameters import parameter


@dataclass(frozen=True)
class Whitened:
    """The centred gradient as `records` uncorrelated rows of variance one."""

    rows: Tensor
    """(B, d)."""
    offset: Tensor
    """(B,): the whitened mean, which centring took away."""
    matrix: Tensor
    """(B, m): what whitens."""


@dataclass(frozen=True)
class CocktailParty(GradientAttack):
    """Unmix the gradient of the first linear layer into independent images."""

    title: ClassVar[str] = "Cocktail Party Attack"
    source: ClassVar[str] = (
        "Kariyappa, Guo, Maeng, Xiong, Suh, Qureshi and Lee, 2023, ICML (eq. 7: negentropy, decorrelation and total "
        "variation). Variant of the house: `eigh` of the covariance, a start by FastICA (Hyvärinen, 1999) on the "
        "differences of neighbours, which the same matrix mixes and which are far sparser and less dependent than "
        "pixels, and sign and scale by the gradient of the bias, which the published attack leaves to the evaluation. "
        "The published search is what `iterations` are for; pictures that resemble each other are better off without, "
        "since it holds their pixels to be uncorrelated."
    )

    iterations: int = parameter(0, "Steps of Adam with the published objective.", minimum=0, maximum=100_000)
    learning_rate: float = parameter(1e-3, "Rate of Adam.", minimum=1e-6, maximum=1.0)
    decorrelation: float = parameter(1.47, "Weight of the decorrelation.", minimum=0.0, maximum=1e3)
    temperature: float = parameter(12.4, "Sharpness of the decorrelation.", minimum=0.1, maximum=100.0)
    variation: float = parameter(3.1, "Weight of the total variation.", minimum=0.0, maximum=1e3)
    warm_start: int = parameter(
        200, "Iterations of FastICA first; 0 starts from the whitened rows.", minimum=0, maximum=10_000
    )

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """All observations of one size at once."""
        mixed = [self._mixture(each, device) for each in observations]
        whitened = [whiten(weight, each.records) for (weight, _), each in zip(mixed, observations, strict=True)]
        results: list[Reconstruction] = []
        for place, (observation, white) in enumerate(zip(observations, whitened, strict=True)):
            unmixing, score = self.unmix(white, mixed[place][0], observation.input_shape, rng)
            inputs = upright(unmixing @ white.matrix, *mixed[place])
            inputs = denormalised(observation, inputs.reshape(-1, *observation.input_shape))
            results.append(_reconstruction(observation, inputs, score, rng))
            progress((place + 1) / len(observations))
        return results

    def _mixture(self, observation: Observation, device: str) -> tuple[Tensor, Tensor]:
        layer = first_linear(observation)
        gradient = as_gradient(observation, device, torch.float64)
        weight, bias = gradient[layer.weight], gradient[str(layer.bias)]
        if observation.records > min(weight.shape):
            raise Unsuited(f"a layer of {weight.shape[0]} neurons cannot tell {observation.records} records apart")
        if not bool(weight.any()):
            raise Unsuited("no neuron of the first layer has a gradient")
        return weight, bias

    def unmix(
        self, white: Whitened, weight: Tensor, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Tensor, float]:
        """(B, B): the rows, of length one, that unmix the gradient (m, d) best once it is whitened, and the loss."""
        rows, offset = white.rows.float(), white.offset.float()
        start = self._start(white, weight, shape, rng).float().requires_grad_(True)
        optimiser = torch.optim.Adam([start], lr=self.learning_rate)
        for _ in range(self.iterations):
            optimiser.zero_grad()
            with torch.enable_grad():
                self._loss(start, rows, offset, shape).backward()
            optimiser.step()
        unmixing = torch.nn.functional.normalize(start.detach(), dim=1)
        return unmixing.double(), float(self._loss(unmixing, rows, offset, shape))

    def _start(self, white: Whitened, weight: Tensor, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        if not self.warm_start:
            return torch.eye(len(white.rows), dtype=white.rows.dtype, device=white.rows.device)
        return separated(weight, shape, len(white.rows), self.warm_start, rng) @ torch.linalg.pinv(white.matrix)

    def _loss(self, start: Tensor, rows: Tensor, offset: Tensor, shape: tuple[int, ...]) -> Tensor:
        unmixing = torch.nn.functional.normalize(start, dim=1)
        voices = unmixing @ rows
        # log cosh without overflow.
        cosh = voices.abs() + torch.nn.functional.softplus(-2.0 * voices.abs()) - 0.6931471805599453
        negentropy = cosh.mean(1).square().mean()
        alike = (unmixing @ unmixing.T).abs() - torch.eye(len(rows), device=rows.device)
        decorrelation = (torch.exp(self.temperature * alike.clamp_min(0)) - 1.0).mean()
        loss = self.decorrelation * decorrelation - negentropy
        if self.variation and len(shape) == 3:
            images = (voices + (unmixing @ offset)[:, None]).reshape(-1, *shape)
            loss = loss + self.variation * _variation(images)
        return loss


def whiten(weight: Tensor, records: int) -> Whitened:
    """The gradient (m, d) reduced to its `records` strongest principal directions of variance one."""
    mean = weight.mean(1, keepdim=True)
    centred = weight - mean
    values, vectors = torch.linalg.eigh(centred @ centred.T / weight.shape[1])
    values, vectors = values[-records:], vectors[:, -records:]
    matrix = (vectors / values.clamp_min(1e-14 * values[-1]).sqrt()).T
    return Whitened(matrix @ centred, (matrix @ mean)[:, 0], matrix)


def fast_ica(rows: Tensor, iterations: int, rng: np.random.Generator) -> Tensor:
    """(B, B) orthogonal: the symmetric fixed point of FastICA with tanh, for whitened rows (B, d)."""
    count, size = rows.shape
    if not iterations:
        return torch.eye(count, dtype=rows.dtype, device=rows.device)
    start = torch.tensor(rng.standard_normal((count, count)), dtype=rows.dtype, device=rows.device)
    unmixing = _orthogonal(start)
    for _ in range(iterations):
        bent = torch.tanh(unmixing @ rows)
        moved = bent @ rows.T / size - (1.0 - bent.square()).mean(1)[:, None] * unmixing
        moved = _orthogonal(moved)
        still = float((moved * unmixing).sum(1).abs().min())
        unmixing = moved
        if still > 1.0 - 1e-5:
            break
    return unmixing


def separated(
    weight: Tensor, shape: tuple[int, ...], records: int, iterations: int, rng: np.random.Generator
) -> Tensor:
    """(records, m): rows that unmix the gradient (m, d) of a layer on records of a shape, of any sign and scale.

    Of images, the differences of neighbours are separated: what mixes the images mixes them, too, and those of two
    natural pictures are hardly correlated even where the pictures are. Rows of a table are separated themselves.
    """
    white = whiten(differences(weight, shape), records)
    return fast_ica(white.rows.float(), iterations, rng).double() @ white.matrix


def differences(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(m, k): the differences of neighbours, along both sides, of rows (m, d) that are images; others as they are."""
    if len(shape) != 3 or min(shape[1:]) < 2:
        return weight
    images = weight.reshape(-1, *shape)
    return torch.cat([images.diff(dim=3).flatten(1), images.diff(dim=2).flatten(1)], dim=1)


def upright(unmixing: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(B, d): the records that rows (B, m) unmix from the gradients of a layer, with their sign and scale.

    The gradient of the bias is the same mixture of ones: what the rows make of it is what they scale each record by. A
    record that the bias hardly hears would get any size: scales stay within a factor of ten of the typical one.
    """
    scale = unmixing @ bias
    typical = scale.abs().median().clamp_min(1e-300)
    scale = torch.where(scale < 0, -1.0, 1.0) * scale.abs().clamp(0.1 * typical, 10.0 * typical)
    return unmixing @ weight / scale[:, None]


def _orthogonal(matrix: Tensor) -> Tensor:
    """The nearest orthogonal matrix."""
    left, _, right = torch.linalg.svd(matrix)
    return left @ right


def _variation(images: Tensor) -> Tensor:
    """The mean absolute differences of neighbours, along both sides, of images (n, C, H, W)."""
    return (images.diff(dim=3)).abs().mean() + (images.diff(dim=2)).abs().mean()


def _reconstruction(observation: Observation, inputs: Tensor, score: float, rng: np.random.Generator) -> Reconstruction:
    found = inputs.clamp(observation.low, observation.high).float()
    return Reconstruction(
        found, labelled(observation, found, rng), score, (), "sign and scale by the gradient of the bias"
    )
