"""The lab: what a person can run outside a round. Cards are listed here; an experiment is imported on first use."""

from app.experiments.base import Card, Experiment
from app.experiments.federated_protection import CARD as FEDERATED_PROTECTION
from app.experiments.generator_training import CARD as GENERATOR_TRAINING
from app.experiments.gradient_leakage import CARD as GRADIENT_LEAKAGE
from app.experiments.imitation import CARD as IMITATION
from app.experiments.language_training import CARD as LANGUAGE_TRAINING
from app.experiments.membership_audit import CARD as MEMBERSHIP_AUDIT
from app.experiments.security_evaluation import CARD as SECURITY_EVALUATION
from app.experiments.web_corpus import CARD as WEB_CORPUS

CARDS: tuple[Card, ...] = (
    SECURITY_EVALUATION,
    WEB_CORPUS,
    LANGUAGE_TRAINING,
    MEMBERSHIP_AUDIT,
    GRADIENT_LEAKAGE,
    IMITATION,
    GENERATOR_TRAINING,
    FEDERATED_PROTECTION,
)
"""Every experiment, in the order in which pages list them."""


def card(slug: str) -> Card:
    """The card of an experiment. Raises KeyError for an unknown slug."""
    return {each.slug: each for each in CARDS}[slug]


__all__ = ["CARDS", "Card", "Experiment", "card"]
