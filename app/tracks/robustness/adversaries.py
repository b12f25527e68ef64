"""The house's attackers: attacks of `app.attacks.evasion` as players who hand in an answer."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from app.tracks.base import Adversary, Bundle, Progress, Roster, silent
from app.tracks.players import Player, player
from app.tracks.robustness.settings import Settings

ATTACKS = {
    "random-noise": "noise:UniformNoise",
    "pgd": "pgd:Pgd",
    "apgd": "apgd:Apgd",
    "carlini-wagner": "carlini_wagner:CarliniWagner",
    "square": "square:Square",
}
"""Module and class of each attack by slug, the cheapest first."""


@dataclass(frozen=True)
class Blind(Adversary):
    """Hands the inputs back as they are."""

    title: ClassVar[str] = "Blind"
    source: ClassVar[str] = "The baseline: nothing is moved, so nothing that was right becomes wrong."

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The unchanged inputs."""
        progress(1.0)
        return {"inputs": public["inputs"]}


class Evader(Player):
    """Moves the inputs with one attack."""

    settings: ClassVar[Settings]

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The answer of the attack."""
        from app.tracks.robustness import evading

        return evading.moved(self.made(), public, self.settings, rng, device, progress)


def adversaries(settings: Settings) -> Mapping[str, Adversary]:
    """The house's attackers, the cheapest first; an attack, and torch, is imported when it is asked for."""
    places = {slug: f"app.attacks.evasion.{place}" for slug, place in ATTACKS.items()}
    attackers = {slug: functools.partial(player, Evader, place, settings=settings) for slug, place in places.items()}
    return Roster({"blind": Blind, **attackers})
