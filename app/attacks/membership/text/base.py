"""What every attack on a language model's training text gets and gives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Need(StrEnum):
    """What an attack asks for besides the model's answers."""

    NEIGHBOURS = "disturbed copies of each sentence"
    REFERENCES = "reference models"


def _nothing() -> Floats:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class Evidence:
    """What is known of n sentences of at most T words; natural logarithms throughout."""

    log_probabilities: Floats
    """(n, T): of each word, given those before it."""
    means: Floats
    """(n, T): the model's mean log-probability over its vocabulary, weighted by its probabilities."""
    deviations: Floats
    """(n, T): the standard deviation that belongs to it."""
    lengths: NDArray[np.int64]
    """(n,): how many words of each row count, at least 1."""
    texts: tuple[str, ...]
    """(n,)"""
    neighbour_losses: Floats = field(default_factory=_nothing)
    """(n, k): the losses of disturbed copies."""
    reference_losses: Floats = field(default_factory=_nothing)
    """(R, n): the losses under reference models."""
    reference_members: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    """(R, n): whether the reference model was trained on the sentence."""

    @property
    def real(self) -> NDArray[np.bool_]:
        """(n, T): whether there is a word."""
        mask: NDArray[np.bool_] = np.arange(self.log_probabilities.shape[1]) < self.lengths[:, None]
        return mask

    @property
    def losses(self) -> Floats:
        """(n,): the mean cross-entropy of each sentence, in nats."""
        losses: Floats = -np.where(self.real, self.log_probabilities, 0.0).sum(1) / self.lengths
        return losses


class TextAttack(ABC):
    """A frozen dataclass whose fields are the attack's hyperparameters."""

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue, equation; and which variant this is."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    scores_strangers: ClassVar[bool] = True
    """Whether it also scores sentences that no reference model was trained on, alike."""

    @abstractmethod
    def __call__(self, evidence: Evidence) -> Floats:
        """(n,) finite scores, higher for a member; sentences with the same evidence have the same score."""


def mean_of_lowest(values: Floats, lengths: NDArray[np.int64], share: float) -> Floats:
    """(n,): the mean of each row's `share` of lowest values among its first `lengths`, of at least one of them.

    At least one, because a short text has less than one word in a small share, and its mean would be no number.
    """
    place = np.arange(values.shape[1])
    ordered = np.sort(np.where(place < lengths[:, None], values, np.inf), axis=1)
    count = np.clip(np.floor(share * lengths).astype(np.int64), 1, lengths)
    lowest: Floats = np.where(place < count[:, None], ordered, 0.0).sum(1) / count
    return lowest
