"""The lab: what a person can run outside a round. Cards are listed here; an experiment is imported on first use."""

from app.experiments.base import Card, Experiment
from app.experiments.security_evaluation import CARD as SECURITY_EVALUATION

CARDS: tuple[Card, ...] = (SECURITY_EVALUATION,)
"""Every experiment, in the order in which pages list them."""


def card(slug: str) -> Card:
    """The card of an experiment. Raises KeyError for an unknown slug."""
    return {each.slug: each for each in CARDS}[slug]


__all__ = ["CARDS", "Card", "Experiment", "card"]
