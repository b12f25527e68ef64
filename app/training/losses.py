"""What training makes small."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, int], Tensor]
"""(logits (B, K) of one model's batch, targets (B, ...), epoch from 0) -> the scalar that is made small.

It is called under `vmap`: branches that depend on values are written with `torch.where`. Targets are the rows of `y`
that `train` was given, so they may be labels as well as soft targets.
"""


def cross_entropy(logits: Tensor, targets: Tensor, epoch: int = 0) -> Tensor:
    """The mean cross-entropy; `targets` are classes (B,) or probabilities (B, K)."""
    return functional.cross_entropy(logits, targets)
