"""The least likely words alone."""

from dataclasses import dataclass

from app.attacks.membership.text.base import Evidence, Floats, TextAttack, mean_of_lowest
from app.parameters import parameter


@dataclass(frozen=True)
class MinK(TextAttack):
    """A text that was not learnt has a few words that surprise the model."""

    title = "Min-K %"
    source = (
        "Shi, Ajith, Xia et al., 2024, ICLR, eq. 1 (Min-K % Prob): the mean log-probability of the k % least likely "
        "words, of at least one."
    )

    share: float = parameter(0.2, "Share of the words that count.", minimum=0.01, maximum=1.0)

    def __call__(self, evidence: Evidence) -> Floats:
        """The mean log-probability of the least likely words."""
        return mean_of_lowest(evidence.log_probabilities, evidence.lengths, self.share)
