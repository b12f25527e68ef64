"""Calibration by difficulty: a record that every model finds easy says nothing."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.attacks.membership.base import Progress, Records, Target, silent
from app.attacks.membership.references import ReferenceAttack
from app.parameters import parameter

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration(ReferenceAttack):
    """The score is the target's log-probability less the mean of models that do not know the record."""

    title: ClassVar[str] = "Difficulty calibration"
    source: ClassVar[str] = "Watson, Guo, Cormode and Sablayrolles, 2022, ICLR; with offline references"

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) differences of log-probabilities."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=False)
        own, out = signals.log_probability(target.logits(candidates.x), candidates.y), slice(0, len(candidates))
        return own - signals.mean_where(made.log_p[:, out], ~made.inside[:, out])


@dataclass(frozen=True)
class AttackR(ReferenceAttack):
    """The score is the share of models without the record that are less sure of it than the target."""

    title: ClassVar[str] = "Attack R"
    source: ClassVar[str] = (
        "Ye, Maddi, Murakonda, Bindschaedler and Shokri, 2022, ACM CCS; the distribution over references is smoothed"
        " by a logistic kernel, because few models alone tie nearly all records"
    )

    bandwidth: float = parameter(0.3, "Width of the kernel in nats; 0 counts.", minimum=0.0, maximum=10.0)

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) shares in [0, 1]; an equal reference counts one half."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=False)
        n = len(candidates)
        ahead = signals.log_probability(target.logits(candidates.x), candidates.y) - made.log_p[:, :n]
        won = np.sign(ahead) if not self.bandwidth else np.tanh(ahead / (2.0 * self.bandwidth))
        return signals.mean_where((1.0 + won) / 2.0, ~made.inside[:, :n])
