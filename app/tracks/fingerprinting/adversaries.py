"""The house's attackers: every attack of `app.attacks.fingerprinting` as a player who hands in an answer."""

import dataclasses
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_type_hints

import numpy as np

from app.traces import Traces
from app.tracks.base import Adversary, Bundle, Progress, Roster, silent

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


class Fingerprinter(Adversary):
    """Learns from the training captures with one attack; its fields are the fields of the attack."""

    attack: ClassVar[type]

    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The answer of the attack."""
        attack = self.attack(**{name: getattr(self, name) for name in field_names(self.attack)})
        probabilities = attack.probabilities(
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


def field_names(cls: Any) -> tuple[str, ...]:
    """The names of a dataclass's fields."""
    return tuple(field.name for field in dataclasses.fields(cls))


def adversary_of(attack: Any) -> type[Adversary]:
    """A frozen dataclass that plays `attack`, with the same fields, title and source."""
    hints = get_type_hints(attack)
    fields = [
        (field.name, hints[field.name], dataclasses.field(default=field.default, metadata=field.metadata))
        for field in dataclasses.fields(attack)
    ]
    namespace = {
        "attack": attack,
        "title": attack.title,
        "source": attack.source,
        "__doc__": attack.__doc__,
        "__module__": __name__,
    }
    return dataclasses.make_dataclass(attack.__name__, fields, bases=(Fingerprinter,), namespace=namespace, frozen=True)


@functools.cache
def fingerprinter(place: str) -> Adversary:
    """The adversary that plays the attack at "module:Class" with its default fields."""
    module, _, name = place.partition(":")
    return adversary_of(getattr(importlib.import_module(f"app.attacks.fingerprinting.{module}"), name))()


def adversaries() -> Mapping[str, Adversary]:
    """The house's attackers, the cheapest first; an attack is imported when it is asked for."""
    attackers = {slug: functools.partial(fingerprinter, place) for slug, place in ATTACKS.items()}
    return Roster({"blind": Blind, **attackers})
