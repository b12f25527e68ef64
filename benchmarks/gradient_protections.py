"""Protections of the matrix in `gradient_defences`, and how probable they make what is shared.

A likelihood takes honest numbers (P, ...) by name, the ones that were shared, and an observation; it gives minus the
logarithm of the probability of what was shared, (P,).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.attacks.gradients.base import LocalTraining, Observation
from app.defences.gradients import GradientDefence
from app.defences.gradients.augmentation import Augmentation
from app.defences.gradients.clipping import Clipping
from app.defences.gradients.dp_sgd import DpSgd
from app.defences.gradients.noise import GaussianNoise, LaplacianNoise
from app.defences.gradients.quantisation import Quantisation, Sign
from app.defences.gradients.rules import LargerBatch, LocalSteps
from app.defences.gradients.secure_aggregation import SecureAggregation
from app.defences.gradients.soteria import Soteria
from app.defences.gradients.sparsification import TopK
from app.defences.gradients.undefended import Undefended

CLIENTS = 4
FLOOR = 3e-3
"""Deviation that an aware attacker allows exact numbers, as a share of their root mean square."""
ROUNDING = 0.4
"""Deviation of stochastic rounding, as a share of the distance of two levels: the root of 1/6."""
Weights = dict[str, Tensor]
Chance = Callable[[Weights, Weights, Observation], Tensor]


@dataclass(frozen=True)
class Protection:
    """A protection and what is to be known of it."""

    name: str
    defence: GradientDefence
    likelihood: Chance
    """(P,): minus the logarithm of the probability of what was shared (second) for honest numbers (first)."""
    pool: int = 1
    """Clients whose records are in one share."""
    is_main: bool = True
    """Whether short arms have it."""
    expand: Callable[[Tensor], Tensor] | None = None
    """(P, B, ...) to (P, n B, ...): the records that the client really trains on."""


def protections() -> list[Protection]:
    exact = normal(0.0)
    found = [Protection("undefended", Undefended(), exact)]
    for strength in (0.1, 1.0, 10.0):
        noise = GaussianNoise(strength)
        found.append(Protection(f"Gaussian noise {strength:g}", noise, normal(strength), is_main=strength == 1.0))
    found += [Protection("Laplacian noise 1", LaplacianNoise(1.0), laplacian(1.0))]
    found += [Protection("clipping to .1", Clipping(0.1), shortened)]
    for strength in (0.01, 0.1):
        private = DpSgd(strength)
        found.append(Protection(f"DP-SGD {strength:g}", private, dp(private), is_main=strength == 0.1))
    for strength in (0.9, 0.99):
        found.append(Protection(f"top-k, {strength:.0%} dropped", TopK(strength), largest, is_main=strength == 0.9))
    found.append(Protection("4 bits", Quantisation(4), rounded(4)))
    found.append(Protection("sign", Sign(), signs))
    found.append(Protection("Soteria 0.9", Soteria(0.9), kept))
    found.append(Protection("3 turned copies", Augmentation(3), exact, expand=turned))
    found.append(Protection("4 local steps", LocalSteps(4, 0, 0.1), exact))
    found.append(Protection("larger batch, x 2", LargerBatch(2), exact, pool=2))
    found.append(Protection(f"aggregation of {CLIENTS}", SecureAggregation(), exact, pool=CLIENTS))
    return found


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([part.flatten(1).sum(1) for part in parts]).sum(0)


def _spread(target: Weights, share: float) -> Tensor:
    """(P,): a deviation, as a share of the root mean square of what was shared."""
    count = sum(part[0].numel() for part in target.values())
    return share * (_sum([part.square() for part in target.values()]) / count).sqrt()


def normal(strength: float) -> Chance:
    """Normal noise of `strength` times the honest length, which makes the shared length sqrt(1 + strength^2) of it."""

    def likelihood(found: Weights, target: Weights, one: Observation) -> Tensor:
        deviation = _spread(target, max(FLOOR, strength / math.sqrt(1.0 + strength**2)))
        return _sum([(found[name] - target[name]).square() for name in target]) / (2.0 * deviation**2)

    return likelihood


def laplacian(strength: float) -> Chance:
    def likelihood(found: Weights, target: Weights, one: Observation) -> Tensor:
        scale = _spread(target, strength / math.sqrt(2.0 * (1.0 + strength**2)))
        return _sum([(found[name] - target[name]).abs() for name in target]) / scale

    return likelihood


def shortened(found: Weights, target: Weights, one: Observation) -> Tensor:
    """The direction is right."""
    return _rescaled(found, target, _spread(target, FLOOR))


def _rescaled(found: Weights, target: Weights, deviation: Tensor) -> Tensor:
    """Normal noise, after a factor of at most 1 that is the most probable one."""
    along = _sum([found[name] * target[name] for name in target])
    length = _sum([found[name].square() for name in target])
    factor = (along / length.clamp(min=1e-30)).clamp(0.0, 1.0)
    theirs = _sum([part.square() for part in target.values()])
    return (theirs - 2.0 * factor * along + factor**2 * length) / (2.0 * deviation**2)


def dp(private: DpSgd) -> Chance:
    """Noise of known size; what clipping did to the records together is taken for one factor."""

    def likelihood(found: Weights, target: Weights, one: Observation) -> Tensor:
        rule = one.training or LocalTraining(1, 0, (1.0,))
        steps = rule.rate(0) * math.sqrt(rule.steps(one.records)) / (rule.batch or one.records)
        return _rescaled(found, target, _spread(target, FLOOR).clamp(min=private.strength * private.bound * steps))

    return likelihood


def kept(found: Weights, target: Weights, one: Observation) -> Tensor:
    """Numbers that were sent are right; those that were not are taken for unknown."""
    deviation = _spread(target, FLOOR)
    apart = [((found[name] - target[name]) * (target[name] != 0)).square() for name in target]
    return _sum(apart) / (2.0 * deviation**2)


def largest(found: Weights, target: Weights, one: Observation) -> Tensor:
    """Numbers that were sent are right; those that were not are no larger than any of them."""
    sizes = torch.cat([part.flatten(1).abs() for part in target.values()], 1)
    least = torch.where(sizes > 0, sizes, torch.inf).amin(1)
    deviation, beyond = _spread(target, FLOOR), []
    for name, part in target.items():
        edge = least.reshape(-1, *[1] * (part.ndim - 1))
        beyond.append(((found[name].abs() - edge).clamp(min=0.0) * (part == 0)).square())
    return kept(found, target, one) + _sum(beyond) / (2.0 * deviation**2)


def rounded(bits: int) -> Chance:
    def likelihood(found: Weights, target: Weights, one: Observation) -> Tensor:
        total = []
        for name, part in target.items():
            # The largest number of a layer is sent as it is, and tells the distance of the levels.
            level = part.flatten(1).abs().amax(1).clamp(min=1e-12) / (2 ** (bits - 1) - 1)
            apart = (found[name] - part).flatten(1).square() / (2.0 * (ROUNDING * level[:, None]).square())
            total.append(apart)
        return _sum(total)

    return likelihood


def signs(found: Weights, target: Weights, one: Observation) -> Tensor:
    """The signs are right, and so is the mean size of each layer's numbers."""
    total = []
    for name, part in target.items():
        size = part.flatten(1).abs().amax(1, keepdim=True).clamp(min=1e-12)
        own = found[name].flatten(1)
        wrong = (-own * part.flatten(1).sign() / size).clamp(min=0.0).square() * (part.flatten(1) != 0)
        total.append(wrong.mean(1) + 0.1 * (own.abs().mean(1) / size[:, 0] - 1.0).square())
    count = sum(part[0].numel() for part in target.values())
    return torch.stack(total).sum(0) * count / (2.0 * FLOOR)


def turned(x: Tensor) -> Tensor:
    return torch.cat([x, *(torch.rot90(x, 1 + number, (3, 4)) for number in range(3))], 1)
