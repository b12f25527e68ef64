"""A track is a security game between a defender and an attacker, refereed by the platform."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from app.reports import Estimate, Figure, Metric

__all__ = [
    "Adversary",
    "Bundle",
    "Card",
    "Challenge",
    "Data",
    "Estimate",
    "Figure",
    "Metric",
    "Progress",
    "Roster",
    "Score",
    "Seat",
    "Track",
    "UploadRule",
]

Bundle = dict[str, np.ndarray]
Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""


def silent(share: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Score:
    """What a referee measured: one comparable value in [0, 1] and the track's own metrics."""

    value: float
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    replicates: np.ndarray | None = None
    """(B,) bootstrap replicates of `value`; replicate b of two answers to one challenge resamples the same items."""
    figures: tuple[Figure, ...] = ()
    """For the one whose utility or leakage this is: the defender; may show what is secret to others."""
    attacker_figures: tuple[Figure, ...] = ()
    """For the one who answered; shows nothing that the answer and the public half do not hold."""


@dataclass(frozen=True)
class Seat:
    """Where a defender sits: everything that a round issues follows from these numbers."""

    round: int = 0
    """The round's seed, which all of its teams share."""
    team: int = 0
    """The defender's number; 0 belongs to nobody."""

    def shared(self, purpose: str) -> np.random.Generator:
        """Random numbers that are the same for every team of the round."""
        return np.random.default_rng([self.round, *purpose.encode()])

    def own(self, purpose: str) -> np.random.Generator:
        """Random numbers of this team alone."""
        return np.random.default_rng([self.round, self.team, 0, *purpose.encode()])


@dataclass(frozen=True)
class Data:
    """A round's own data set, which an admin has chosen among the checked files of the lab."""

    kind: str
    """The kind of asset: "dataset", "table", …"""
    path: Path


@dataclass(frozen=True)
class Challenge:
    """What the referee asks: `public` is handed out, `secret` never leaves the server."""

    public: Bundle
    secret: Bundle


@dataclass(frozen=True)
class UploadRule:
    """What a file must look like before it is opened."""

    suffixes: tuple[str, ...]
    description: str
    """One sentence that stands above the upload button."""


@dataclass(frozen=True)
class Card:
    """What the pages must know of a track without importing its game."""

    slug: str
    title: str
    summary: str
    defence: UploadRule
    answer: UploadRule
    utility_metrics: tuple[Metric, ...]
    leakage_metrics: tuple[Metric, ...]
    game: str
    """"package.module:Class", imported on first use."""
    issue: str = ""
    """One sentence on what the round issues to each team before it defends; empty if nothing."""
    data_kinds: tuple[str, ...] = ()
    """The kinds of files that an admin may choose as a round's own data set."""
    kit: str = ""
    """The folder of the track's scripts within `attack_defence_test_scripts/`; empty: that folder itself."""
    rules: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Defaults of a round's rules (see `RoundRules`) that suit this track better than the usual ones."""

    def load(self) -> type["Track"]:
        """The class of the game."""
        module, _, name = self.game.partition(":")
        game: type[Track] = getattr(importlib.import_module(module), name)
        return game


class Adversary(ABC):
    """An attacker that the house plays: a frozen dataclass whose fields are its hyperparameters.

    The fields are declared with `app.parameters.parameter`, with defaults from the paper.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue; and which variant this is."""

    @abstractmethod
    def __call__(self, public: Bundle, rng: np.random.Generator, device: str, progress: Progress = silent) -> Bundle:
        """The answer to the public half of a challenge, as a team would upload it."""


class Roster(Mapping[str, Adversary]):
    """Adversaries by slug, in the order of their cost; each is made, and its libraries loaded, when it is asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Adversary]]) -> None:
        """Adversaries from functions that make them."""
        self._makers = dict(makers)

    def __getitem__(self, slug: str) -> Adversary:
        """The adversary of this name."""
        return self._makers[slug]()

    def __iter__(self) -> Iterator[str]:
        """The names, the cheapest first; loads nothing."""
        return iter(self._makers)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._makers)


class Track(ABC):
    """One security game with the settings of one round, as it is played from one defender's seat.

    `read_answer`, `leakage` and the adversaries do not depend on the seat, because one answer is to many defenders.
    """

    card: ClassVar[Card]
    Settings: ClassVar[type]
    """A frozen dataclass of `app.parameters.parameter` fields; every one has a default."""

    def __init__(self, settings: Any = None, seat: Seat | None = None, data: Data | None = None) -> None:
        """A game with the given settings and data set, or with the defaults, as seen from `seat`."""
        self.settings = self.Settings() if settings is None else settings
        self.seat = seat or Seat()
        self.data = data

    def check_data(self) -> None:  # noqa: B027 (Most rounds have no data set of their own.)
        """Raises InvalidUpload when the data set cannot carry a round with these settings, with every reason."""

    def write_issue(self, folder: Path) -> list[Path]:
        """Write the files that the round issues to the team in this seat before it defends; see `Card.issue`."""
        return []

    @abstractmethod
    def read_defence(self, upload: Path) -> Bundle:
        """The defender moves. Raises InvalidUpload with every reason at once."""

    @abstractmethod
    def write_defence(self, defence: Bundle, path: Path) -> None:
        """Write a defence as the file that a team would upload."""

    @abstractmethod
    def utility(self, defence: Bundle, reference: Mapping[str, float] | None = None) -> Score:
        """How useful the protected thing still is; 1 = as good as undefended.

        `reference` holds the metric values of the round's undefended reference, if it has one.
        """

    @abstractmethod
    def challenge(self, defence: Bundle, rng: np.random.Generator) -> Challenge:
        """The referee asks. Raises InvalidUpload when no fair question can be made of this defence."""

    @abstractmethod
    def write_challenge(self, public: Bundle, team: int, folder: Path) -> list[Path]:
        """Write the files that an opponent of `team` downloads, into `folder`."""

    @abstractmethod
    def read_challenge(self, team: int, folder: Path) -> Bundle:
        """As much of the public half as `read_answer` asks for, of the files that `write_challenge` wrote for `team`.

        Teams check their answers with it before they upload. Raises InvalidUpload.
        """

    @abstractmethod
    def read_answer(self, upload: Path, publics: Mapping[int, Bundle]) -> dict[int, Bundle]:
        """The attacker answers every opponent in `publics` (team id -> public half) with one file.

        Raises InvalidUpload; enforces the threat model.
        """

    @abstractmethod
    def write_answer(self, answers: Mapping[int, Bundle], path: Path) -> None:
        """Write answers as the file that a team would upload."""

    @abstractmethod
    def leakage(self, answer: Bundle, secret: Bundle, rng: np.random.Generator) -> Score:
        """How much of the secret the answer reveals; 0 = a blind guess, 1 = everything."""

    @abstractmethod
    def best_answer(self, secret: Bundle) -> Bundle:
        """The best possible answer, for the laws."""

    @abstractmethod
    def adversaries(self) -> Mapping[str, Adversary]:
        """The house's attackers by slug, the cheapest first; always contains "blind". See `Roster`."""

    @abstractmethod
    def house_defences(self) -> tuple[str, ...]:
        """Names of the defences that the house can play, the undefended example first, the strongest last."""

    @abstractmethod
    def house_defence(self, name: str, rng: np.random.Generator, base: Bundle | None = None) -> Bundle:
        """A defence of the house, made from `base` (undefended) or from generated data."""
