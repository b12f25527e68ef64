"""The game of gradient leakage: one line per move. Torch is loaded when a move needs it: pages load this file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.tracks.base import Adversary, Bundle, Challenge, Score, Track
from app.tracks.gradient_leakage import CARD, answer_file, defence_file
from app.tracks.gradient_leakage.adversaries import adversaries
from app.tracks.gradient_leakage.settings import Settings

if TYPE_CHECKING:
    from app.tracks.gradient_leakage.clients import Place

HOUSE_DEFENCES = ("undefended", "gaussian-noise", "top-k", "dp-sgd")


class GradientLeakage(Track):
    """Protection of the updates that clients of federated learning share."""

    card = CARD
    Settings = Settings

    def check_data(self) -> None:
        """Enough records for all parts, and a shape that the model takes."""
        from app.tracks.gradient_leakage import question, records

        records.check(self.settings, self.data)
        question.check_size(self._place())

    def write_issue(self, folder: Path) -> list[Path]:
        """Write the rules, the model's weights, the public records and the team's private batches."""
        from app.tracks.gradient_leakage import question

        return question.issue(self._place(), folder)

    def read_defence(self, upload: Path) -> Bundle:
        """The protected gradients or updates of an npz or safetensors file."""
        from app.tracks.gradient_leakage import question

        return defence_file.read(upload, question.shapes(self._place()))

    def write_defence(self, defence: Bundle, path: Path) -> None:
        """Write the updates as npz."""
        defence_file.write(defence, path)

    def utility(self, defence: Bundle, reference: Mapping[str, float] | None = None) -> Score:
        """News kept and loss taken away; the truth is known, so no reference is needed."""
        from app.tracks.gradient_leakage import scores

        return scores.utility(self._place(), defence)

    def challenge(self, defence: Bundle, rng: np.random.Generator) -> Challenge:
        """The updates in a new order, the model and public records."""
        from app.tracks.gradient_leakage import question

        return question.challenge(self._place(), defence, rng)

    def write_challenge(self, public: Bundle, team: int, folder: Path) -> list[Path]:
        """Write rules, weights, public records and updates."""
        from app.tracks.gradient_leakage import question

        return question.write(public, team, folder)

    def read_challenge(self, team: int, folder: Path) -> Bundle:
        """The rules."""
        from app.tracks.gradient_leakage import question

        return question.asked(team, folder)

    def read_answer(self, upload: Path, publics: Mapping[int, Bundle]) -> dict[int, Bundle]:
        """Reconstructions for every opponent."""
        return answer_file.read(upload, publics)

    def write_answer(self, answers: Mapping[int, Bundle], path: Path) -> None:
        """Write answers as npz."""
        answer_file.write(answers, path)

    def leakage(self, answer: Bundle, secret: Bundle, rng: np.random.Generator) -> Score:
        """How much nearer the answer comes than a blind guess; nothing is drawn, so `rng` is not needed."""
        from app.tracks.gradient_leakage import scores

        return scores.leakage(answer, secret)

    def best_answer(self, secret: Bundle) -> Bundle:
        """The private batches themselves."""
        return {"inputs": secret["inputs"].copy(), "labels": secret["labels"].copy()}

    def adversaries(self) -> Mapping[str, Adversary]:
        """The blind and the published attacks that suit the round, the cheapest first."""
        return adversaries(self.settings)

    def house_defences(self) -> tuple[str, ...]:
        """The true updates, and protections of `app.defences.gradients`."""
        return HOUSE_DEFENCES

    def house_defence(self, name: str, rng: np.random.Generator, base: Bundle | None = None) -> Bundle:
        """The updates of the batches of this seat under a defence; `base` belongs to another seat and is not used.

        Raises ValueError for an unknown name.
        """
        from app.tracks.gradient_leakage import house

        if name not in HOUSE_DEFENCES:
            raise ValueError(f"{name!r} is not one of {', '.join(HOUSE_DEFENCES)}")
        return house.defence(name, self._place(), rng)

    def _place(self) -> "Place":
        from app.tracks.gradient_leakage.clients import Place

        return Place(self.settings, self.seat, self.data)
