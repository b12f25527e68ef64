"""The house's attackers: attacks of `app.attacks.membership` as players who hand in an answer."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from app.tracks.base import Adversary, Bundle, Progress, Roster, silent
from app.tracks.membership.answer_file import SCORE
from app.tracks.membership.settings import Settings
from app.tracks.players import Player, player

ATTACKS = {
    "loss-threshold": "loss_threshold:LossThreshold",
    "modified-entropy": "entropy:ModifiedEntropy",
    "ml-leaks-3": "ml_leaks:MlLeaks3",
    "gradient-norm": "gradient_norm:GradientNorm",
    "shadow-models": "shadow_models:ShadowModels",
    "lira-offline": "lira:LiraOffline",
    "rmia": "rmia:RmiaOnline",
    "meta-calibrated": "meta_calibrated:MetaCalibrated",
    "white-box-gradients": "white_box_shadows:WhiteBoxShadows",
}
"""Module and class of each attack by slug, the cheapest first."""


TEXT_ATTACKS = {
    "loss": "loss:Loss",
    "zlib-ratio": "zlib_ratio:ZlibRatio",
    "min-k": "min_k:MinK",
    "min-k-plus-plus": "min_k_plus_plus:MinKPlusPlus",
    "reference": "reference:Reference",
    "lira": "likelihood_ratio:LikelihoodRatio",
}
"""The same for a round on sentences."""


@dataclass(frozen=True)
class Blind(Adversary):
    """Gives every candidate the same score."""

    title: ClassVar[str] = "Blind"
    source: ClassVar[str] = "The baseline: all candidates are alike, so members cannot be told from strangers."

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The same score for all."""
        progress(1.0)
        return {"record_id": public["record_id"], SCORE: np.zeros(len(public["record_id"]))}


class Inferrer(Player):
    """Scores the candidates with one attack."""

    settings: ClassVar[Settings]

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The answer of the attack."""
        from app.tracks.membership import inferring

        return inferring.answer(self.made(), public, self.settings, rng, device, progress)


class Reader(Player):
    """Scores candidate sentences with one attack."""

    settings: ClassVar[Settings]

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The answer of the attack."""
        from app.tracks.membership import reading_sentences

        return reading_sentences.answer(self.made(), public, self.settings, rng, device, progress)


def adversaries(settings: Settings, is_text: bool = False) -> Mapping[str, Adversary]:
    """The house's attackers, the cheapest first; an attack, and torch, is imported when it is asked for."""
    kind, package = (Reader, "app.attacks.membership.text") if is_text else (Inferrer, "app.attacks.membership")
    places = {slug: f"{package}.{place}" for slug, place in (TEXT_ATTACKS if is_text else ATTACKS).items()}
    attackers = {slug: functools.partial(player, kind, place, settings=settings) for slug, place in places.items()}
    return Roster({"blind": Blind, **attackers})
