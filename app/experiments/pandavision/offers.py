"""What PandaVision's clients can choose from."""

from typing import Any

from app.experiments.security_evaluation.choices import ATTACKS, NORMS, PRESETS


def attacks(norm: str | None = None) -> list[Any]:
    """The norms, or [label, value] of each attack that is run in a norm. Raises KeyError for an unknown norm."""
    if norm is None:
        return list(NORMS)
    if norm not in NORMS:
        raise KeyError(norm)
    return [[choice.title, name] for name, choice in ATTACKS.items() if norm in choice.norms]


def sizes(norm: str) -> list[list[Any]]:
    """[label, value] of the usual perturbation sizes in a norm. Raises KeyError for an unknown norm."""
    return [[label, value] for label, value in PRESETS[norm]]
