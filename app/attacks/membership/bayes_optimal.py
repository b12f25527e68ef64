"""BASE: the Bayes-optimal membership score from a mean over reference models."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.attacks.membership.base import Progress, Records, Target, silent
from app.attacks.membership.references import ReferenceAttack
from app.parameters import parameter

Floats = NDArray[np.float64]


def score(own: Floats, references: Floats, mask: NDArray[np.bool_]) -> Floats:
    """(n,): log-probabilities less the log of the mean probability over the models (R, n) where the mask is set."""
    logs = np.where(mask, references, -np.inf)
    highest = np.where(mask.any(axis=0), logs.max(axis=0), 0.0)
    mean = np.exp(logs - highest).sum(axis=0) / np.maximum(mask.sum(axis=0), 1)
    result: Floats = own - highest - np.log(np.where(mask.any(axis=0), mean, 1.0))
    return result


@dataclass(frozen=True)
class BayesOptimal(ReferenceAttack):
    """BASE: how much likelier the true class is to the target than to the references on average."""

    title: ClassVar[str] = "BASE"
    source: ClassVar[str] = (
        "Lassila, Östman, Ngo and Graell i Amat, 2025, Practical Bayes-Optimal Membership Inference Attacks, NeurIPS;"
        " one target, probabilities at a temperature"
    )

    temperature: float = parameter(2.0, "Divides the logits.", minimum=0.1, maximum=100.0)
    is_online: bool = parameter(True, "References know half of the candidates; otherwise none.")

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
        made = self.references(target.classes, candidates, population, rng, device, progress, online=self.is_online)
        n = len(candidates)
        own = signals.log_probability(target.logits(candidates.x), candidates.y, self.temperature)
        theirs = signals.log_probability(made.logits[:, :n], candidates.y, self.temperature)
        return score(own, theirs, np.ones_like(made.inside[:, :n]) if self.is_online else ~made.inside[:, :n])
