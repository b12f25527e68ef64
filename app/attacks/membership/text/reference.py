"""The loss, measured against that of models that did not see the sentence."""

from dataclasses import dataclass

from app.attacks.membership.text.base import Evidence, Floats, Need, TextAttack
from app.attacks.membership.text.likelihood_ratio import mean_over


@dataclass(frozen=True)
class Reference(TextAttack):
    """What is cheap for every model is easy; what is cheap for this one alone was learnt."""

    title = "Reference models"
    source = (
        "Carlini, Tramèr, Wallace et al., 2021, USENIX Security, section 5.2, and Watson, Guo, Cormode, Sablayrolles, "
        "2022, ICLR, eq. 6: the mean loss of reference models that were not trained on the sentence, minus the loss."
    )
    needs = frozenset({Need.REFERENCES})

    def __call__(self, evidence: Evidence) -> Floats:
        """How much dearer the sentence is to models that did not see it."""
        return mean_over(evidence.reference_losses, ~evidence.reference_members) - evidence.losses
