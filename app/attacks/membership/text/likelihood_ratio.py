"""How much likelier the loss is for a model that saw the sentence than for one that did not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from app.attacks.membership.text.base import Evidence, Floats, Need, TextAttack
from app.parameters import parameter

LEAST_LOSS = 1e-6
"""In nats; nothing is told from a loss below it."""
LEAST_VARIANCE = 1e-8
PRIOR = 5.0
Mask = NDArray[np.bool_]
VARIANT = (
    "Variant for few models: the logarithm of the mean loss of a sentence, which is nearly normal; each sentence's "
    "variance is drawn towards that of all sentences (Smyth, 2004, Stat. Appl. Genet. Mol. Biol., moderated variance)."
)


def mean_over(losses: Floats, chosen: Mask) -> Floats:
    """(n,): the mean over the chosen models of each sentence, (R, n); over all models where none is chosen."""
    chosen = np.where(chosen.any(0), chosen, True)
    means: Floats = np.where(chosen, losses, 0.0).sum(0) / chosen.sum(0)
    return means


def deviations(losses: Floats, chosen: Mask, prior: float) -> Floats:
    """(n,): the standard deviation over the chosen models, where the pooled variance counts as `prior` models."""
    freedom = np.maximum(chosen.sum(0) - 1, 0)
    squares = np.where(chosen, (losses - mean_over(losses, chosen)) ** 2, 0.0).sum(0)
    pooled = squares.sum() / max(int(freedom.sum()), 1)
    found: Floats = np.sqrt(np.maximum((squares + prior * pooled) / np.maximum(freedom + prior, 1), LEAST_VARIANCE))
    return found


def _logarithms(losses: Floats) -> Floats:
    found: Floats = np.log(np.maximum(losses, LEAST_LOSS))
    return found


def _log_density(values: Floats, means: Floats, scales: Floats) -> Floats:
    """Of a normal distribution, but for a constant."""
    found: Floats = -0.5 * ((values - means) / scales) ** 2 - np.log(scales)
    return found


@dataclass(frozen=True)
class LikelihoodRatio(TextAttack):
    """Two normal distributions of each sentence's loss, under models with and without it."""

    title = "LiRA"
    source = f"Carlini, Chien, Nasr, Song, Terzis, Tramèr, 2022, IEEE S&P, Algorithm 1 (online). {VARIANT}"
    needs = frozenset({Need.REFERENCES})
    scores_strangers = False

    prior: float = parameter(PRIOR, "Models that the common variance counts as.", minimum=1.0, maximum=1e6)

    def __call__(self, evidence: Evidence) -> Floats:
        """The log-likelihood ratio.

        A sentence that all models or none of them saw is compared with the mean of all, which says little: sentences of
        no reference model need the offline attack.
        """
        own, losses = _logarithms(evidence.losses), _logarithms(evidence.reference_losses)
        sides = (evidence.reference_members, ~evidence.reference_members)
        within, without = (
            _log_density(own, mean_over(losses, side), deviations(losses, side, self.prior)) for side in sides
        )
        return within - without


@dataclass(frozen=True)
class OfflineLikelihoodRatio(TextAttack):
    """One normal distribution of each sentence's loss, under models without it."""

    title = "LiRA, offline"
    source = f"Carlini, Chien, Nasr, Song, Terzis, Tramèr, 2022, IEEE S&P, eq. 4 (one-sided test). {VARIANT}"
    needs = frozenset({Need.REFERENCES})

    prior: float = parameter(PRIOR, "Models that the common variance counts as.", minimum=1.0, maximum=1e6)

    def __call__(self, evidence: Evidence) -> Floats:
        """Minus the logarithm of the chance that a model without the sentence had a loss as low."""
        own, losses = _logarithms(evidence.losses), _logarithms(evidence.reference_losses)
        outside = ~evidence.reference_members
        z = (own - mean_over(losses, outside)) / deviations(losses, outside, self.prior)
        score: Floats = -log_ndtr(z)
        return score
