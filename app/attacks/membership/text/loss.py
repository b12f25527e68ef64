"""The loss itself."""

from dataclasses import dataclass

from app.attacks.membership.text.base import Evidence, Floats, TextAttack


@dataclass(frozen=True)
class Loss(TextAttack):
    """A sentence that costs the model little was probably learnt."""

    title = "Loss"
    source = (
        "Yeom, Giacomelli, Fredrikson, Jha, 2018, CSF, Adversary 2, on text: minus the mean cross-entropy of the words."
    )

    def __call__(self, evidence: Evidence) -> Floats:
        """Minus the loss."""
        return -evidence.losses
