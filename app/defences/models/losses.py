"""Protections that change what a training minimises."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from app.parameters import parameter


class TrainingLoss(ABC):
    """A frozen dataclass whose fields are its hyperparameters; an `app.training.Loss`, so `vmap` can take it."""

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue, equation; and which variant this is."""

    @abstractmethod
    def __call__(self, logits: Tensor, targets: Tensor, epoch: int) -> Tensor:
        """The loss () of a batch with logits (B, C) and classes (B,) in an epoch, counted from 0."""


@dataclass(frozen=True)
class LabelSmoothing(TrainingLoss):
    """A share of each label is spread over all classes."""

    title: ClassVar[str] = "Label smoothing"
    source: ClassVar[str] = "Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, 2016, CVPR, section 7: (1 - s) e_y + s / C."

    smoothing: float = parameter(0.1, "Share of a label that all classes share.", minimum=0.0, maximum=1.0)

    def __call__(self, logits: Tensor, targets: Tensor, epoch: int) -> Tensor:
        """The mean cross-entropy to the smoothed labels."""
        return functional.cross_entropy(logits, targets, label_smoothing=self.smoothing)


@dataclass(frozen=True)
class RelaxLoss(TrainingLoss):
    """The loss is held at a level that non-members have, and wrong classes are flattened."""

    title: ClassVar[str] = "RelaxLoss"
    source: ClassVar[str] = (
        "Chen, Yu and Fritz, 2022, ICLR, algorithm 1: even epochs descend on |CE - alpha|, odd ones on CE where it is "
        "above alpha and else on the cross-entropy to flattened posteriors. As in the authors' code for tables, all "
        "records are flattened, with the true class's probability clipped; the flattened labels carry no gradient."
    )

    alpha: float = parameter(0.4, "The mean loss that is aimed at.", minimum=0.0, maximum=20.0)
    upper: float = parameter(1.0, "The most that a flattened label gives its true class.", minimum=0.0, maximum=1.0)

    def __call__(self, logits: Tensor, targets: Tensor, epoch: int) -> Tensor:
        """The loss of this epoch's kind."""
        mean = functional.cross_entropy(logits, targets)
        if epoch % 2 == 0:
            return (mean - self.alpha).abs()
        # Stacked models differ in which side of alpha they are on, so both losses are computed.
        flat = functional.cross_entropy(logits, self.flattened(logits, targets))
        return torch.where(mean > self.alpha, mean, flat)

    def flattened(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, C): the clipped probability of the true class, the rest in equal parts for the others."""
        classes = logits.shape[-1]
        one_hot = functional.one_hot(labels, classes).to(logits.dtype)
        own = (functional.softmax(logits.detach(), -1) * one_hot).sum(-1, keepdim=True).clamp(max=self.upper)
        return one_hot * own + (1.0 - one_hot) * (1.0 - own) / max(1, classes - 1)
