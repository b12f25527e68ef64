"""The simplest attacks: a model is surer of what it was trained on."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.attacks.membership.base import MembershipAttack, Progress, Records, Target, silent


@dataclass(frozen=True)
class LossThreshold(MembershipAttack):
    """The score is minus the cross-entropy of the true class."""

    title: ClassVar[str] = "Loss threshold"
    source: ClassVar[str] = (
        "Yeom, Giacomelli, Fredrikson and Jha, 2018, IEEE CSF, adversary 2; the threshold is left out"
    )

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) log-probabilities of the true class."""
        return signals.log_probability(target.logits(candidates.x), candidates.y)


@dataclass(frozen=True)
class ConfidenceThreshold(MembershipAttack):
    """The score is the probability of the true class, on a scale that does not saturate."""

    title: ClassVar[str] = "Confidence threshold"
    source: ClassVar[str] = (
        "Yeom, Giacomelli, Fredrikson and Jha, 2018, IEEE CSF; on the logit scale of Carlini et al., 2022, which keeps"
        " the order of the probabilities apart where these round to 1"
    )

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) log-odds of the true class."""
        return signals.scaled_logit(target.logits(candidates.x), candidates.y)
