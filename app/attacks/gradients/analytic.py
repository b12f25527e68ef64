"""Records that stand in the gradient of a first linear layer as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.labelling import labelled
from app.attacks.gradients.layers import LinearCall, probes, watched
from app.attacks.gradients.scaling import as_gradient, denormalised, normalised
from app.parameters import parameter

SMALLEST = 1e-6
"""Size of a bias gradient, relative to the largest, below which a neuron says nothing."""


@dataclass(frozen=True)
class Analytic(GradientAttack):
    """Divide the weight gradient of each neuron by its bias gradient, and keep the quotients that neurons share."""

    title: ClassVar[str] = "Analytic inversion"
    source: ClassVar[str] = (
        "Phong, Aono, Hayashi, Wang and Moriai, 2018, IEEE TIFS, section 3 (the quotient of weight and bias gradient); "
        "Geiping, Bauermeister, Dröge and Moeller, 2020, NeurIPS, proposition 3.1. Of one record all neurons give the "
        "same quotient, and their weighted mean is taken; of several, records that alone activate two neurons or more "
        "are told from mixtures by quotients that agree."
    )

    tolerance: float = parameter(1e-3, "Relative distance up to which two quotients agree.", minimum=1e-9, maximum=0.5)

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One after the other; nothing is iterated."""
        results = []
        for place, observation in enumerate(observations):
            results.append(self._one(observation, rng, device))
            progress((place + 1) / len(observations))
        return results

    def _one(self, observation: Observation, rng: np.random.Generator, device: str) -> Reconstruction:
        layer = first_linear(observation)
        gradient = as_gradient(observation, device, torch.float64)
        weight, bias = gradient[layer.weight], gradient[str(layer.bias)]
        used = bias.abs() > SMALLEST * bias.abs().max()
        if not bool(used.any()):
            raise Unsuited("no neuron of the first layer has a gradient")
        if observation.records == 1:
            taken = ((bias @ weight) / bias.square().sum())[None]
            spread = (weight - bias[:, None] * taken).norm() / weight.norm().clamp_min(1e-300)
            sure = spread[None] <= self.tolerance
        else:
            taken, sure, spread = self._several(weight[used], bias[used], observation.records)
        inputs = denormalised(observation, taken.reshape(-1, *observation.input_shape))
        inside = (inputs >= observation.low - 0.1) & (inputs <= observation.high + 0.1)
        sure = sure & inside.flatten(1).all(1)
        return _reconstruction(observation, inputs[sure], float(spread), rng)

    def _several(self, weight: Tensor, bias: Tensor, records: int) -> tuple[Tensor, Tensor, Tensor]:
        """The quotients (n, d) on which most neurons agree, whether at least two do, and their mean distance."""
        quotients = weight / bias[:, None]
        length = quotients.norm(dim=1)
        near = torch.cdist(quotients, quotients) <= self.tolerance * torch.minimum(length[:, None], length)
        found, agreed = [], near.clone()
        for _ in range(records):
            votes = agreed.sum(1)
            best = int(votes.argmax())
            if int(votes[best]) < 2:
                break
            members = agreed[best]
            share = bias[members] / bias[members].square().sum()
            found.append(share @ weight[members])
            agreed = agreed & ~members[:, None] & ~members[None]
        taken = torch.stack(found) if found else quotients[:0]
        sure = torch.ones(len(taken), dtype=torch.bool, device=taken.device)
        return taken, sure, bias.new_tensor(1.0 - len(taken) / records)


def first_linear(observation: Observation) -> LinearCall:
    """The linear layer that takes the records themselves; raises Unsuited without one, or without its bias."""
    inputs = probes(observation)
    with torch.no_grad():
        seen, _ = watched(observation, inputs)
    taken = normalised(observation, inputs).flatten(1)
    if not seen.calls or seen.calls[0].inputs.shape != taken.shape or not torch.equal(seen.calls[0].inputs, taken):
        raise Unsuited("the first layer of this model is not a linear one on the records themselves")
    if seen.calls[0].bias is None:
        raise Unsuited("the first layer has no bias, so that the scale of its inputs is lost")
    return seen.calls[0]


def filled(observation: Observation, found: Tensor) -> tuple[Tensor, Tensor]:
    """(records, *input_shape) with the inputs found first and the best blind guess for the rest, and which were found.

    The blind guess is the mean public record, or the middle of the range.
    """
    found = found[: observation.records].clamp(observation.low, observation.high)
    middle = found.new_full(observation.input_shape, 0.5 * (observation.low + observation.high))
    blind = middle if observation.public is None else observation.public.to(found).mean(0)
    rest = observation.records - len(found)
    known = torch.arange(observation.records, device=found.device) < len(found)
    return torch.cat([found, blind.expand(rest, *observation.input_shape)]), known


def _reconstruction(observation: Observation, found: Tensor, score: float, rng: np.random.Generator) -> Reconstruction:
    inputs, known = filled(observation, found)
    labels = labelled(observation, inputs, rng)
    note = f"{int(known.sum())} of {observation.records} records stand in the gradient by themselves"
    return Reconstruction(inputs.float(), labels, score, (), note, known)
