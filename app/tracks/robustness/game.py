"""The game of robustness: one line per move. Torch is loaded when a move needs it, because pages load this file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.tracks.base import Adversary, Bundle, Challenge, Score, Track
from app.tracks.robustness import CARD, answer_file, images, question
from app.tracks.robustness.adversaries import adversaries
from app.tracks.robustness.settings import Settings

HOUSE_DEFENCES = ("undefended", "adversarial-training", "strong-adversarial-training")


class Robustness(Track):
    """Robustness of an image classifier within a ball of size EPSILON."""

    card = CARD
    Settings = Settings

    @property
    def material(self) -> images.Material:
        """The images of the round."""
        return images.material(self.settings, self.seat, self.data)

    def check_data(self) -> None:
        """Refuse a data set with too few images or classes."""
        if self.data is not None:
            images.check(self.settings, self.data)

    def write_issue(self, folder: Path) -> list[Path]:
        """Write the public images."""
        return question.issue(self.material, folder)

    def read_defence(self, upload: Path) -> Bundle:
        """The model of an uploaded ONNX file."""
        from app.tracks.robustness import defence_file

        return defence_file.read(upload, self.material, self.settings)

    def write_defence(self, defence: Bundle, path: Path) -> None:
        """Write the ONNX file."""
        path.write_bytes(defence["model"].tobytes())

    def utility(self, defence: Bundle, reference: Mapping[str, float] | None = None) -> Score:
        """The accuracy on hidden images."""
        from app.tracks.robustness import scores

        return scores.utility(defence, self.material, self.settings, reference)

    def challenge(self, defence: Bundle, rng: np.random.Generator) -> Challenge:
        """The model, hidden images with labels, and the ball."""
        return question.challenge(defence, self.material, self.settings, rng)

    def write_challenge(self, public: Bundle, team: int, folder: Path) -> list[Path]:
        """Write the model and the inputs."""
        return question.write(public, team, folder)

    def read_challenge(self, team: int, folder: Path) -> Bundle:
        """The inputs and the ball."""
        return question.asked(team, folder)

    def read_answer(self, upload: Path, publics: Mapping[int, Bundle]) -> dict[int, Bundle]:
        """Perturbed inputs for every opponent, inside the ball and the box."""
        return answer_file.read(upload, publics)

    def write_answer(self, answers: Mapping[int, Bundle], path: Path) -> None:
        """Write answers as npz."""
        answer_file.write(answers, path)

    def leakage(self, answer: Bundle, secret: Bundle, rng: np.random.Generator) -> Score:
        """The share of right inputs that became wrong; nothing is drawn, so `rng` is not needed."""
        from app.tracks.robustness import scores

        return scores.leakage(answer, secret, self.settings)

    def best_answer(self, secret: Bundle) -> Bundle:
        """Other images instead of the inputs: the end of the scale, which a ball keeps out of reach."""
        from app.tracks.robustness import scores

        return scores.best_answer(secret, self.settings)

    def adversaries(self) -> Mapping[str, Adversary]:
        """The blind and the published attacks, the cheapest first."""
        return adversaries(self.settings)

    def house_defences(self) -> tuple[str, ...]:
        """A network without protection, and adversarial training at two radii."""
        return HOUSE_DEFENCES

    def house_defence(self, name: str, rng: np.random.Generator, base: Bundle | None = None) -> Bundle:
        """A trained network; the undefended one is `base` if it is given. Raises ValueError for an unknown name."""
        from app.tracks.robustness import house

        if name not in HOUSE_DEFENCES:
            raise ValueError(f"{name!r} is not one of {', '.join(HOUSE_DEFENCES)}")
        if base is not None and name == HOUSE_DEFENCES[0]:
            return base
        return house.defence(name, self.material, self.settings, rng)
