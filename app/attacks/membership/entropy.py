"""Membership from the entropy of a prediction."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.attacks.membership.base import MembershipAttack, Progress, Records, Target, silent
from app.parameters import parameter


@dataclass(frozen=True)
class Entropy(MembershipAttack):
    """The score is minus the entropy of the prediction; the label is not needed."""

    title: ClassVar[str] = "Entropy"
    source: ClassVar[str] = "Song and Mittal, 2021, USENIX Security"

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) negative entropies in nats."""
        return signals.negative_entropy(target.logits(candidates.x))


@dataclass(frozen=True)
class ModifiedEntropy(MembershipAttack):
    """The score is minus the modified entropy, which takes the label into account."""

    title: ClassVar[str] = "Modified entropy"
    source: ClassVar[str] = (
        "Song and Mittal, 2021, USENIX Security; thresholds per class are replaced by subtracting each class's"
        " median over the population"
    )

    is_per_class: bool = parameter(False, "Judge a record by others of its class.")

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) negative modified entropies."""
        scores = signals.negative_modified_entropy(target.logits(candidates.x), candidates.y)
        if not self.is_per_class or not len(population):
            return scores
        others = signals.negative_modified_entropy(target.logits(population.x), population.y)
        for label in np.unique(candidates.y):
            own = others[population.y == label]
            scores[candidates.y == label] -= np.median(own if len(own) else others)
        return scores
