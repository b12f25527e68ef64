"""What an attack makes as large as it can: losses of logits (B, K), one number per input.

Each takes the true classes (B,) and, for a targeted attack, the wrong classes (B,) that it aims at.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def cross_entropy(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Minus the log-probability of the true class, or the log-probability of the target."""
    if target is None:
        return functional.cross_entropy(logits, y, reduction="none")
    return -functional.cross_entropy(logits, target, reduction="none")


def margin(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """The highest wrong logit, or that of the target, minus the true one: positive when the input is misclassified."""
    true = picked(logits, y)
    if target is not None:
        return picked(logits, target) - true
    return logits.scatter(1, y[:, None], -torch.inf).max(1).values - true


def difference_of_logits_ratio(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """The margin divided by a spread of the highest logits (Croce and Hein, 2020, ICML, eqs. 6 and 7).

    The divisor needs the third and, when targeted, the fourth highest logit. With three classes the third one stands in
    for the fourth; with two classes the ratio would be constant, so that the plain margin is used.
    """
    classes = logits.shape[1]
    if classes < 3:
        return margin(logits, y, target)
    ordered = logits.sort(dim=1, descending=True).values
    low = ordered[:, 2] if target is None else (ordered[:, 2] + ordered[:, min(3, classes - 1)]) / 2.0
    return margin(logits, y, target) / (ordered[:, 0] - low + 1e-12)


LOSSES: dict[str, Loss] = {"ce": cross_entropy, "margin": margin, "dlr": difference_of_logits_ratio}


def picked(logits: Tensor, classes: Tensor) -> Tensor:
    """(B,): each row's logit of one class."""
    return logits.gather(1, classes[:, None])[:, 0]


def runners_up(logits: Tensor, y: Tensor, count: int) -> Tensor:
    """(B, min(count, K - 1)): each row's wrong classes with the highest logits, the highest first."""
    wrong = logits.scatter(1, y[:, None], -torch.inf)
    return wrong.topk(min(count, logits.shape[1] - 1), dim=1).indices
