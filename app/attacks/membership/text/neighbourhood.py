"""The loss, measured against that of almost the same sentences."""

from dataclasses import dataclass

from app.attacks.membership.text.base import Evidence, Floats, Need, TextAttack


@dataclass(frozen=True)
class Neighbourhood(TextAttack):
    """A learnt sentence is cheaper than its neighbours, and an easy one is not."""

    title = "Neighbourhood"
    source = (
        "Mattern, Mireshghallah, Jin et al., 2023, Findings of ACL, eq. 3: the mean loss of disturbed copies minus the "
        "loss. Variant: the copies differ in one word, drawn from the attacked model itself instead of a masked one."
    )
    needs = frozenset({Need.NEIGHBOURS})

    def __call__(self, evidence: Evidence) -> Floats:
        """How much dearer the neighbours are."""
        found: Floats = evidence.neighbour_losses.mean(1) - evidence.losses
        return found
