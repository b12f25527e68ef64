"""The house's attackers: every attack of `app.attacks.fingerprinting` as a player who hands in an answer."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from app.traces import Traces
from app.tracks.base import Adversary, Bundle, Progress, Roster, silent
from app.tracks.players import Player, player

ATTACKS = {
    "nearest-neighbour": "nearest_neighbour:NearestNeighbour",
    "random-forest": "random_forest:RandomForest",
    "feature-forest": "feature_forest:FeatureForest",
    "k-fingerprinting": "k_fingerprinting:KFingerprinting",
    "cumul": "cumul:Cumul",
    "deep-fingerprinting": "deep_fingerprinting:DeepFingerprinting",
    "robust-fingerprinting": "robust_fingerprinting:RobustFingerprinting",
}
"""Module and class of each attack by slug, the cheapest first."""


@dataclass(frozen=True)
class Blind(Adversary):
    """Calls every cell equally likely, without looking."""

    title: ClassVar[str] = "Blind guess"
    source: ClassVar[str] = "The baseline: what is known without any capture. Ties are worth what guessing is worth."

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The uniform answer."""
        classes, captures = count_classes(public), public["test_capture"]
        progress(1.0)
        return {
            "capture": captures,
            "probabilities": np.full((len(captures), classes), 1.0 / classes, np.float32),
        }


class Fingerprinter(Player):
    """Learns from the training captures with one attack."""

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The answer of the attack."""
        probabilities = self.made().probabilities(
            Traces.from_bundle(public, "train_"),
            public["train_cell"].astype(np.int64) - 1,
            Traces.from_bundle(public, "test_"),
            count_classes(public),
            rng,
            device,
            progress,
        )
        return {"capture": public["test_capture"], "probabilities": probabilities}


def count_classes(public: Bundle) -> int:
    """The number of cells; every cell has a training capture."""
    return int(public["train_cell"].max())


def adversaries() -> Mapping[str, Adversary]:
    """The house's attackers, the cheapest first; an attack is imported when it is asked for."""
    places = {slug: f"app.attacks.fingerprinting.{place}" for slug, place in ATTACKS.items()}
    attackers = {slug: functools.partial(player, Fingerprinter, place) for slug, place in places.items()}
    return Roster({"blind": Blind, **attackers})
