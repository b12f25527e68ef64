"""Projected gradient descent (Madry et al., 2018), in as few lines as it takes. Change it."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def pgd(network: nn.Module, x: Tensor, y: Tensor, norm: str, epsilon: float, steps: int) -> Tensor:
    """Images within `epsilon` of `x` and within [0, 1] on which the network's loss is large."""
    moved = project(x + epsilon * (2 * torch.rand_like(x) - 1), x, norm, epsilon)
    for _ in range(steps):
        moved.requires_grad_(True)
        (slope,) = torch.autograd.grad(functional.cross_entropy(network(moved), y), moved)
        direction = slope.sign() if norm == "linf" else slope / length(slope).clamp_min(1e-12)
        moved = project(moved.detach() + 2.5 * epsilon / steps * direction, x, norm, epsilon)
    return moved


def project(moved: Tensor, x: Tensor, norm: str, epsilon: float) -> Tensor:
    """The nearest images inside the ball around `x`, then inside [0, 1], which never leaves the ball."""
    change = moved - x
    if norm == "linf":
        change = change.clamp(-epsilon, epsilon)
    else:
        change = change * (epsilon / length(change).clamp_min(1e-12)).clamp_max(1.0)
    return (x + change).clamp(0.0, 1.0)


def length(change: Tensor) -> Tensor:
    """The Euclidean length of each image, shaped so that it divides a batch."""
    return change.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
