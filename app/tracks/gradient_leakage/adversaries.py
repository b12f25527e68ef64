"""The house's attackers: attacks of `app.attacks.gradients` as players who hand in an answer."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from app.tracks.base import Adversary, Bundle, Progress, Roster, silent
from app.tracks.gradient_leakage.settings import Settings
from app.tracks.players import Player, player


@dataclass(frozen=True)
class Entry:
    """An attack as the house plays it."""

    place: str
    """Module and class within `app.attacks.gradients`."""
    suits: Callable[[Settings], bool]
    """Whether it can be expected to find something in a round with these settings."""
    tuned: Mapping[str, Any] = field(default_factory=dict)
    """Hyperparameters that differ from the attack's defaults, because a round has to go on."""


def _dense(settings: Settings) -> bool:
    """The first layer takes the records themselves and has a bias: what exact attacks need."""
    return settings.MODEL in {"mlp", "fc2"}


def _sharp(settings: Settings) -> bool:
    """Signed steps find their way; the sigmoids and the strides of the small convolutional networks stop them."""
    return settings.MODEL in {"mlp", "fc2", "cnn"}


def _smooth(settings: Settings) -> bool:
    """L-BFGS finds its way; strided convolutions with ReLU stop it."""
    return settings.MODEL != "lenet_relu"


def _averaged(settings: Settings) -> bool:
    """Several local steps are what the attack is about."""
    return settings.SHARED == "update"


def _wide(settings: Settings) -> bool:
    """The dense layer gets enough features to invert them."""
    return settings.MODEL == "cnn"


def _always(settings: Settings) -> bool:
    return True


SEARCH = {"evaluations": 3000, "restarts": 2, "solved": 3e-9}
"""A search that a round can wait for: the last decibels of DLG take most of its time."""
ATTACKS: Mapping[str, Entry] = {
    "analytic": Entry("analytic:Analytic", _dense),
    "spear": Entry("spear:Spear", _dense, {"samples": 20_000, "rounds": 2}),
    "grnn": Entry("grnn:Grnn", _always, {"iterations": 300, "restarts": 0, "width": 8}),
    "inverting-gradients": Entry("ig:InvertingGradients", _sharp, {"iterations": 800}),
    "grad-inversion": Entry("grad_inversion:GradInversion", _sharp, {"iterations": 400, "restarts": 2}),
    "dlg": Entry("dlg:Dlg", _smooth, SEARCH),
    "idlg": Entry("idlg:Idlg", _smooth, SEARCH),
    "data-leakage-fedavg": Entry("dlf:Dlf", _averaged, {"iterations": 150, "straight": 150}),
}
"""The attacks by slug, the cheapest first."""


@dataclass(frozen=True)
class Blind(Adversary):
    """Hands in the best guess that public records allow, without a look at what was shared."""

    title: ClassVar[str] = "Blind"
    source: ClassVar[str] = (
        "The baseline: the set of public-looking records that comes nearest after matching; see the rules"
    )

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The blind guess."""
        from app.tracks.gradient_leakage import inverting

        progress(1.0)
        return inverting.blind(public)


class Inverter(Player):
    """Rebuilds the private batches with one attack."""

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The answer of the attack; the blind guess for what it cannot work from."""
        from app.tracks.gradient_leakage import inverting

        return inverting.rebuilt(self.made(), public, rng, device, progress)


def adversaries(settings: Settings) -> Mapping[str, Adversary]:
    """The house's attackers that suit the round, the cheapest first; an attack is imported when it is asked for."""
    chosen = {slug: entry for slug, entry in ATTACKS.items() if entry.suits(settings)}
    return Roster({"blind": Blind, **{slug: functools.partial(_made, entry) for slug, entry in chosen.items()}})


def _made(entry: Entry) -> Inverter:
    return dataclasses.replace(player(Inverter, f"app.attacks.gradients.{entry.place}"), **entry.tuned)
