"""The game of website fingerprinting: one line per move, each in its own file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.tracks.base import Adversary, Bundle, Challenge, Score, Track
from app.tracks.fingerprinting import CARD, answer_file, defence_file, house, leakage, split, utility, writing
from app.tracks.fingerprinting.adversaries import adversaries
from app.tracks.fingerprinting.settings import Settings


class Fingerprinting(Track):
    """Website fingerprinting in a closed world of NB_CLASSES cells."""

    card = CARD
    Settings = Settings

    def read_defence(self, upload: Path) -> Bundle:
        """The captures of an uploaded csv.zip or zip of pcap files."""
        return defence_file.read(upload, self.settings)

    def write_defence(self, defence: Bundle, path: Path) -> None:
        """Write a defence as csv.zip."""
        writing.write_defence(defence, path, self.settings)

    def utility(self, defence: Bundle, reference: Mapping[str, float] | None = None) -> Score:
        """How cheap the captures are in bytes and seconds."""
        return utility.of_defence(defence, reference)

    def challenge(self, defence: Bundle, rng: np.random.Generator) -> Challenge:
        """A split by capture into labelled training captures and captures to classify."""
        return split.challenge(defence, self.settings, rng)

    def write_challenge(self, public: Bundle, team: int, folder: Path) -> list[Path]:
        """Write the training and the test file."""
        return writing.write_challenge(public, team, folder, self.settings)

    def read_challenge(self, team: int, folder: Path) -> Bundle:
        """The captures to classify."""
        return answer_file.questions(writing.test_file(folder, team), self.settings)

    def read_answer(self, upload: Path, publics: Mapping[int, Bundle]) -> dict[int, Bundle]:
        """Class probabilities of every capture of every opponent, joined by id."""
        return answer_file.read(upload, publics, self.settings)

    def write_answer(self, answers: Mapping[int, Bundle], path: Path) -> None:
        """Write answers as csv.zip."""
        writing.write_answer(answers, path, self.settings)

    def leakage(self, answer: Bundle, secret: Bundle, rng: np.random.Generator) -> Score:
        """How many cells the answer names; its resamples depend on the challenge only, so `rng` is not needed."""
        return leakage.leakage(answer, secret)

    def best_answer(self, secret: Bundle) -> Bundle:
        """All of the probability on the true cell."""
        truth = np.eye(self.settings.NB_CLASSES, dtype=np.float32)[secret["cell"] - 1]
        return {"capture": secret["capture"], "probabilities": truth}

    def adversaries(self) -> Mapping[str, Adversary]:
        """The blind guess and the published attacks, the cheapest first."""
        return adversaries()

    def house_defences(self) -> tuple[str, ...]:
        """Undefended captures and six published defences, the strongest last."""
        return house.NAMES

    def house_defence(self, name: str, rng: np.random.Generator, base: Bundle | None = None) -> Bundle:
        """The captures of `base`, or simulated ones, under a defence."""
        return house.defence(name, rng, self.settings, base)
