"""Poisoned predictions: as far towards another class as the label and the confidence allow."""

import torch
from torch import Tensor

STEPS = 24
"""Halvings of the interval; the distance that is found is maximal within 2^-24."""


def poison(probabilities: Tensor, towards: Tensor, epsilon: float, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """The mixture q = (1 - t) p + t e_towards with the largest t that keeps the label and nearly the confidence.

    `probabilities` is (..., C), `towards` (...,) holds a class, or -1 where the prediction stays as it is. Returns q
    (..., C) and t (...,). A t is allowed if argmax q = argmax p and |max q - max p| <= epsilon; allowed ones form an
    interval from 0, whose end is found for all rows at a time by bisection.
    """
    target = torch.zeros_like(probabilities).scatter_(-1, towards.clamp(min=0)[..., None], 1.0)
    target = torch.where((towards >= 0)[..., None], target, probabilities)
    low = torch.zeros_like(probabilities[..., 0])
    high = torch.ones_like(low)
    for _ in range(steps):
        middle = (low + high) / 2.0
        fits = is_allowed(probabilities, mixed(probabilities, target, middle), epsilon)
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    share = torch.where(is_allowed(probabilities, target, epsilon), torch.ones_like(low), low)
    return mixed(probabilities, target, share), torch.where(towards >= 0, share, torch.zeros_like(share))


def mixed(probabilities: Tensor, target: Tensor, share: Tensor) -> Tensor:
    """(1 - share) * probabilities + share * target."""
    return torch.lerp(probabilities, target, share[..., None])


def is_allowed(probabilities: Tensor, changed: Tensor, epsilon: float) -> Tensor:
    """(...,): whether the label is the same and the confidence moved by at most epsilon."""
    before, label = probabilities.max(-1)
    after, changed_label = changed.max(-1)
    return (label == changed_label) & ((after - before).abs() <= epsilon)
