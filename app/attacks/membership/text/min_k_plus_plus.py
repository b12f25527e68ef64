"""The least likely words, in units of how likely words are at their place."""

from dataclasses import dataclass

import numpy as np

from app.attacks.membership.text.base import Evidence, Floats, TextAttack, mean_of_lowest
from app.parameters import parameter


@dataclass(frozen=True)
class MinKPlusPlus(TextAttack):
    """A learnt word is a mode of the model's distribution at its place, whatever the probability there."""

    title = "Min-K%++"
    source = (
        "Zhang, Sun, Yeats et al., 2025, ICLR, eq. 3 and 4: log-probabilities standardised over the vocabulary, the "
        "mean of the k % lowest, of at least one; the deviation is at least 1e-6."
    )

    share: float = parameter(0.2, "Share of the words that count.", minimum=0.01, maximum=1.0)

    def __call__(self, evidence: Evidence) -> Floats:
        """The mean of the lowest standardised log-probabilities."""
        # Where the model is certain of one word, nothing deviates, and the quotient would be no number.
        standard = (evidence.log_probabilities - evidence.means) / np.maximum(evidence.deviations, 1e-6)
        return mean_of_lowest(standard, evidence.lengths, self.share)
