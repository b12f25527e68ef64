"""The likelihood-ratio attack (LiRA)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.attacks.membership.base import Progress, Records, Target, silent
from app.attacks.membership.references import ReferenceAttack, References
from app.parameters import parameter

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
ENOUGH = 64
"""Models from which on a variance of each record's own is worth estimating (Carlini et al., 2022)."""
NARROWEST = 1e-6


@dataclass(frozen=True)
class Side:
    """Normal distributions of the scaled logits of n records, over models on one side."""

    middle: Floats
    spread: Floats

    @classmethod
    def of(cls, scaled: Floats, mask: Mask, is_own: bool) -> "Side":
        """Of the models (R, n) where the mask is set; with a common spread unless each record has its own."""
        middle = signals.mean_where(scaled, mask)
        squares = np.square(scaled - middle)
        counts = mask.sum(axis=0)
        # One degree of freedom went into each record's mean.
        freedom = max(int(np.maximum(counts - 1, 0).sum()), 1)
        common = np.sqrt(np.where(mask, squares, 0.0).sum() / freedom)
        spread = np.full(len(middle), common)
        if is_own:
            own = np.sqrt(np.where(mask, squares, 0.0).sum(axis=0) / np.maximum(counts, 1))
            spread = np.where(counts > 1, own, common)
        return cls(middle, np.maximum(spread, NARROWEST))

    def log_density(self, values: Floats) -> Floats:
        """(n,): the logarithm of the normal density, without its constant."""
        result: Floats = -np.square((values - self.middle) / self.spread) / 2.0 - np.log(self.spread)
        return result


def online(scaled: Floats, references: Floats, inside: Mask, is_own: bool) -> Floats:
    """(n,): log of the likelihood ratio of a target's scaled logits (n,), from those of models (R, n) in and out."""
    both = Side.of(references, inside, is_own), Side.of(references, ~inside, is_own)
    return both[0].log_density(scaled) - both[1].log_density(scaled)


def offline(scaled: Floats, references: Floats, inside: Mask, is_own: bool) -> Floats:
    """(n,): log of the probability that a model without the record is less sure of it than the target."""
    from scipy.special import log_ndtr

    out = Side.of(references, ~inside, is_own)
    result: Floats = log_ndtr((scaled - out.middle) / out.spread)
    return result


@dataclass(frozen=True)
class Lira(ReferenceAttack):
    """What the two forms have in common: scaled logits, and when a record has a variance of its own."""

    variance: str = parameter(
        "auto",
        "One variance for all records, or each its own; auto: from 64 models on.",
        choices=("auto", "fixed", "own"),
    )

    @property
    def is_own(self) -> bool:
        """Whether each record has its own variance."""
        return self.variance == "own" or (self.variance == "auto" and self.models >= ENOUGH)

    def _asked(
        self, target: Target, references: References, candidates: Records, population: Records
    ) -> tuple[Floats, Floats, Mask]:
        """The candidates' scaled logits by the target (n,) and by the references (R, n), and which are inside."""
        n = len(candidates)
        scaled = signals.scaled_logit(target.logits(candidates.x), candidates.y)
        return scaled, references.scaled[:, :n], references.inside[:, :n]


@dataclass(frozen=True)
class LiraOnline(Lira):
    """LiRA with models that were trained with, and models that were trained without, each candidate."""

    title: ClassVar[str] = "LiRA online"
    source: ClassVar[str] = (
        "Carlini, Chien, Nasr, Song, Terzis and Tramèr, 2022, IEEE S&P, algorithm 1; one query, means over models, a"
        " variance pooled within records below 64 models"
    )

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) log-likelihood ratios."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=True)
        return online(*self._asked(target, made, candidates, population), self.is_own)


@dataclass(frozen=True)
class LiraOffline(Lira):
    """LiRA with models that know the population only."""

    title: ClassVar[str] = "LiRA offline"
    source: ClassVar[str] = (
        "Carlini, Chien, Nasr, Song, Terzis and Tramèr, 2022, IEEE S&P, eq. 4; the one-sided tail as in the paper, not"
        " the two-sided density of its code"
    )

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) log-probabilities of a smaller scaled logit."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=False)
        return offline(*self._asked(target, made, candidates, population), self.is_own)
