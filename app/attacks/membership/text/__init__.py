"""Attacks that tell which sentences a language model was trained on.

The rule: arrays in, scores out. An attack sees what the model said of each word, and what it asks for besides; it never
sees the model, the corpus or who is a member.
"""

from app.attacks.membership.text.base import Evidence, Need, TextAttack
from app.attacks.membership.text.likelihood_ratio import LikelihoodRatio, OfflineLikelihoodRatio
from app.attacks.membership.text.loss import Loss
from app.attacks.membership.text.min_k import MinK
from app.attacks.membership.text.min_k_plus_plus import MinKPlusPlus
from app.attacks.membership.text.neighbourhood import Neighbourhood
from app.attacks.membership.text.reference import Reference
from app.attacks.membership.text.zlib_ratio import ZlibRatio

ATTACKS: dict[str, type[TextAttack]] = {
    "loss": Loss,
    "zlib": ZlibRatio,
    "min-k": MinK,
    "min-k++": MinKPlusPlus,
    "neighbourhood": Neighbourhood,
    "reference": Reference,
    "lira-offline": OfflineLikelihoodRatio,
    "lira": LikelihoodRatio,
}
"""Every attack by its name, from the cheapest on."""

__all__ = [
    "ATTACKS",
    "Evidence",
    "LikelihoodRatio",
    "Loss",
    "MinK",
    "MinKPlusPlus",
    "Need",
    "Neighbourhood",
    "OfflineLikelihoodRatio",
    "Reference",
    "TextAttack",
    "ZlibRatio",
]
