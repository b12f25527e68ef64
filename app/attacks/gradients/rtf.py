"""Robbing the Fed: reading records out of an imprint layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.analytic import filled, first_linear
from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.imprint import imprint_weights
from app.attacks.gradients.layers import LinearCall, watched
from app.attacks.gradients.scaling import as_gradient, denormalised, is_exact, normalised
from app.parameters import parameter

SAME = 1e-2
"""Relative distance below which two candidates are one record."""
ROUNDED = 30.0
"""How much larger an error the rounding of an update explains."""


@dataclass(frozen=True)
class RobbingTheFed(GradientAttack):
    """Subtract the gradients of neighbouring neurons of the imprint layer, and divide by those of their biases."""

    title: ClassVar[str] = "Robbing the Fed"
    source: ClassVar[str] = (
        "Fowl, Geiping, Czaja, Goldblum and Goldstein, 2022, ICLR, eq. 3. Variant of the house: bins calibrated on "
        "public records, a threshold relative to the noise instead of a test for zero, and a check of every candidate "
        "against its bin and, for a single step, against the pull that the model gives it, which tells records from "
        "blends and their labels without the truth."
    )

    threshold: float = parameter(
        1e-4, "Share of the largest bin's bias gradient below which a bin is empty.", minimum=0.0, maximum=0.5
    )
    agreement: float = parameter(
        3e-4, "Relative error of the pull up to which a candidate counts as a record.", minimum=1e-6, maximum=0.5
    )

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One after the other; nothing is iterated, and nothing is random."""
        results = []
        for place, observation in enumerate(observations):
            results.append(self._one(observation, device))
            progress((place + 1) / len(observations))
        return results

    def _one(self, observation: Observation, device: str) -> Reconstruction:
        layer = first_linear(observation)
        if imprint_weights({layer.weight: observation.parameters[layer.weight]}) is None:
            raise Unsuited("the first layer of this model is no imprint: its rows differ")
        gradient = as_gradient(observation, device, torch.float64)
        weight, bias = gradient[layer.weight], gradient[str(layer.bias)]
        candidates, pulls, bins = self._candidates(weight, bias)
        inputs = denormalised(observation, candidates.reshape(-1, *observation.input_shape))
        sure = self._inside(observation, layer, inputs, bins)
        labels, errors = self._pulls(observation, inputs, pulls, bins)
        if is_exact(observation):
            # An update is a difference of large numbers, which costs digits.
            sure = sure & (errors <= self.agreement * (1.0 if observation.training is None else ROUNDED))
        sure = sure & ~_repeated(candidates, sure)
        order = (errors + 1e3 * ~sure).argsort(stable=True)[: observation.records]
        found, known = filled(observation, inputs[order])
        own = torch.full((observation.records,), -1, dtype=torch.int64, device=found.device)
        own[: len(order)] = torch.where(sure[order], labels[order], -1)
        confident = known.clone()
        confident[: len(order)] = sure[order]
        note = f"{len(order)} of {len(bias)} bins hold records, {int(confident.sum())} of them one alone"
        score = 1.0 - float(confident.double().mean())
        return Reconstruction(found.float(), own, score, (), note, confident)

    def _candidates(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The quotients (n, d) of the bins that hold something, their bias gradients (n,), and their numbers (n,).

        A neuron is active for all records above its edge, so the difference to the next one belongs to its own bin; the
        last neuron's own gradient belongs to the last bin.
        """
        inner_weight = torch.cat([weight[:-1] - weight[1:], weight[-1:]])
        inner_bias = torch.cat([bias[:-1] - bias[1:], bias[-1:]])
        bins = (inner_bias.abs() > self.threshold * inner_bias.abs().max()).nonzero()[:, 0]
        return inner_weight[bins] / inner_bias[bins, None], inner_bias[bins], bins

    def _inside(self, observation: Observation, layer: LinearCall, inputs: Tensor, bins: Tensor) -> Tensor:
        """Whether each candidate lies in the range of records and in its own bin; a blend with both signs does not."""
        width = observation.high - observation.low
        low, high = observation.low - 0.02 * width, observation.high + 0.02 * width
        fits = ((inputs >= low) & (inputs <= high)).flatten(1).all(1)
        weight, bias = (observation.parameters[str(name)].to(inputs) for name in (layer.weight, layer.bias))
        level = normalised(observation, inputs).flatten(1) @ weight.mean(0)
        edges = torch.cat([-bias, bias.new_tensor([torch.inf])])
        slack = 1e-3 * (edges[-2] - edges[0]).abs()
        return fits & (level > edges[bins] - slack) & (level < edges[bins + 1] + slack)

    def _pulls(self, observation: Observation, inputs: Tensor, pulls: Tensor, bins: Tensor) -> tuple[Tensor, Tensor]:
        """For each candidate the label whose pull at its own neuron comes nearest to the one seen, and the error."""
        with torch.enable_grad():
            seen, answer = watched(observation, inputs.detach().requires_grad_(True))
            outputs, logs = seen.calls[0].outputs, answer.log_softmax(1)
            slopes = [
                torch.autograd.grad(-logs[:, label].sum(), outputs, retain_graph=True)[0]
                for label in range(observation.classes)
            ]
        rows = torch.arange(len(bins), device=bins.device)
        predicted = torch.stack([slope[rows, bins] for slope in slopes], dim=1) / observation.records
        best = ((predicted - pulls[:, None]).abs() / pulls.abs()[:, None]).min(dim=1)
        return best.indices, best.values


def _repeated(candidates: Tensor, sure: Tensor) -> Tensor:
    """(n,): which candidates (n, d) are an earlier one again, as a record on an edge is found in two bins."""
    near = torch.cdist(candidates, candidates) <= SAME * candidates.norm(dim=1, keepdim=True)
    return (near & sure[None] & sure[:, None]).tril(-1).any(1)
