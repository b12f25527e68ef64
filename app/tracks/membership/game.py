"""The game of membership inference: one line per move. Torch is loaded when a move needs it: pages load this file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.tracks.base import Adversary, Bundle, Challenge, Score, Track
from app.tracks.membership import CARD, answer_file, issue, leakage, material, question
from app.tracks.membership.adversaries import adversaries
from app.tracks.membership.material import Material
from app.tracks.membership.settings import Settings

HOUSE_DEFENCES = ("undefended", "early-stopping", "relaxloss", "dp-sgd")


class Membership(Track):
    """Membership inference against a classifier that a team trained on the secret records that it was issued."""

    card = CARD
    Settings = Settings

    @property
    def material(self) -> Material:
        """The records of the round."""
        return material.material(self.settings, self.seat, self.data)

    @property
    def is_text(self) -> bool:
        """Whether the round is played on sentences."""
        return self.data is not None and self.data.kind == "sentences"

    def check_data(self) -> None:
        """Refuse a data set with too few different records."""
        if self.data is not None:
            material.check(self.settings, self.data)

    def write_issue(self, folder: Path) -> list[Path]:
        """Write the team's secret training set, and the population."""
        return issue.write(self.material, self.settings, self.seat, folder)

    def read_defence(self, upload: Path) -> Bundle:
        """The model of an uploaded ONNX file."""
        from app.tracks.membership import defence_file

        return defence_file.read(upload, self.material, self.settings)

    def write_defence(self, defence: Bundle, path: Path) -> None:
        """Write the ONNX file."""
        path.write_bytes(defence["model"].tobytes())

    def utility(self, defence: Bundle, reference: Mapping[str, float] | None = None) -> Score:
        """The accuracy on held-out records."""
        from app.tracks.membership import scores

        return scores.utility(defence, self.material, self.settings, self.seat, reference)

    def challenge(self, defence: Bundle, rng: np.random.Generator) -> Challenge:
        """The model, members and strangers, and the population."""
        return question.challenge(defence, self.material, self.settings, self.seat, rng)

    def write_challenge(self, public: Bundle, team: int, folder: Path) -> list[Path]:
        """Write the model, the candidates and the population."""
        return question.write(public, team, folder)

    def read_challenge(self, team: int, folder: Path) -> Bundle:
        """The numbers of the candidates."""
        return question.asked(team, folder)

    def read_answer(self, upload: Path, publics: Mapping[int, Bundle]) -> dict[int, Bundle]:
        """A score for every candidate of every opponent."""
        return answer_file.read(upload, publics)

    def write_answer(self, answers: Mapping[int, Bundle], path: Path) -> None:
        """Write answers as csv.zip."""
        answer_file.write(answers, path)

    def leakage(self, answer: Bundle, secret: Bundle, rng: np.random.Generator) -> Score:
        """How well members are told from strangers; nothing is drawn, so `rng` is not needed."""
        return leakage.leakage(answer, secret)

    def best_answer(self, secret: Bundle) -> Bundle:
        """Members first."""
        return leakage.best_answer(secret)

    def adversaries(self) -> Mapping[str, Adversary]:
        """The blind and the published attacks, the cheapest first."""
        return adversaries(self.settings, self.is_text)

    def house_defences(self) -> tuple[str, ...]:
        """A network that learns by heart, and three that were kept from it, the strongest last."""
        return HOUSE_DEFENCES[:2] if self.is_text else HOUSE_DEFENCES

    def house_defence(self, name: str, rng: np.random.Generator, base: Bundle | None = None) -> Bundle:
        """A trained network; the undefended one is `base` if it is given. Raises ValueError for an unknown name."""
        from app.tracks.membership import house

        if name not in self.house_defences():
            raise ValueError(f"{name!r} is not one of {', '.join(self.house_defences())}")
        if base is not None and name == HOUSE_DEFENCES[0]:
            return base
        return house.defence(name, self.material, self.settings, self.seat, rng)
