"""The robust membership inference attack (RMIA): a record against the population."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.attacks.membership.base import Progress, Records, Target, silent
from app.attacks.membership.references import ReferenceAttack, References, answers
from app.parameters import parameter

Floats = NDArray[np.float64]


def shares(ratios: Floats, population: Floats, gamma: float = 1.0) -> Floats:
    """(n,): the share of the population (Z,) that each ratio (n,) exceeds gamma times.

    The definition compares all n Z pairs; sorting the population once and looking every ratio up gives the same counts.
    """
    if not len(population):
        return np.zeros(len(ratios))
    ranked = np.sort(gamma * population)
    order = np.argsort(ratios)
    counts = np.empty(len(ratios), np.int64)
    # Looked up in order, neighbours share the path through the sorted population.
    counts[order] = np.searchsorted(ranked, ratios[order], side="left")
    return counts / len(population)


@dataclass(frozen=True)
class Rmia(ReferenceAttack):
    """What the two forms have in common."""

    gamma: float = parameter(1.0, "How much likelier than a population record it must be.", minimum=1.0, maximum=100.0)

    def _score(self, target: Target, made: References, candidates: Records, population: Records) -> Floats:
        """(n,): where each candidate's ratio stands in the population's."""
        own = np.exp(signals.log_probability(answers(target, made, candidates, population), made.y))
        ratios = own / np.maximum(self._expected(made), np.finfo(float).tiny)
        n = len(candidates)
        return shares(ratios[:n], ratios[n:], self.gamma)

    @abstractmethod
    def _expected(self, made: References) -> Floats:
        """(n,): the probability of each record's class on average over models with and without the record."""


@dataclass(frozen=True)
class RmiaOnline(Rmia):
    """RMIA with models in and out of every record."""

    title: ClassVar[str] = "RMIA online"
    source: ClassVar[str] = "Zarifzadeh, Liu and Shokri, 2024, ICML; softmax probabilities"

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) shares of the population."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=True)
        return self._score(target, made, candidates, population)

    def _expected(self, made: References) -> Floats:
        shares = np.exp(made.log_p)
        return (signals.mean_where(shares, made.inside) + signals.mean_where(shares, ~made.inside)) / 2.0


@dataclass(frozen=True)
class RmiaOffline(Rmia):
    """RMIA with models that know the population only."""

    title: ClassVar[str] = "RMIA offline"
    source: ClassVar[str] = "Zarifzadeh, Liu and Shokri, 2024, ICML; softmax probabilities"

    a: float = parameter(0.3, "Slope of the guess what a model with the record would say.", minimum=0.0, maximum=1.0)

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) shares of the population."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=False)
        return self._score(target, made, candidates, population)

    def _expected(self, made: References) -> Floats:
        out = signals.mean_where(np.exp(made.log_p), ~made.inside)
        return ((1.0 + self.a) * out + (1.0 - self.a)) / 2.0
