"""Protections that blur what a trained model answers: fewer classes, fewer digits."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.parameters import parameter

Floats = NDArray[np.floating[Any]]


class OutputDefence(ABC):
    """A frozen dataclass whose fields are its hyperparameters; it never changes the predicted class."""

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue, equation; and which variant this is."""

    def __call__(self, probabilities: Floats, rng: np.random.Generator) -> Floats:
        """The answers (n, C) that are given instead of these probabilities (n, C)."""
        return self.blurred(probabilities, rng)

    @abstractmethod
    def blurred(self, probabilities: Floats, rng: np.random.Generator) -> Floats:
        """The answers instead of the probabilities."""


@dataclass(frozen=True)
class TopK(OutputDefence):
    """Only the k largest probabilities are told."""

    title: ClassVar[str] = "Top k"
    source: ClassVar[str] = (
        "Shokri, Stronati, Song and Shmatikov, 2017, S&P, section VIII: restrict the prediction vector to its top k "
        "classes. The others share what is left in equal parts, so that the answer stays a distribution."
    )

    k: int = parameter(1, "Classes whose probability is told.", minimum=1, maximum=10_000)

    def blurred(self, probabilities: Floats, rng: np.random.Generator) -> Floats:
        """The k largest as they are, the rest in equal parts."""
        classes = probabilities.shape[1]
        if self.k >= classes:
            return probabilities.copy()
        order = np.argsort(-probabilities, axis=1, kind="stable")
        rest = np.take_along_axis(probabilities, order[:, self.k :], 1).mean(1, keepdims=True)
        answers = np.broadcast_to(rest, probabilities.shape).copy()
        top = order[:, : self.k]
        np.put_along_axis(answers, top, np.take_along_axis(probabilities, top, 1), 1)
        return answers


@dataclass(frozen=True)
class Rounded(OutputDefence):
    """Probabilities are told with few digits."""

    title: ClassVar[str] = "Rounded"
    source: ClassVar[str] = (
        "Shokri, Stronati, Song and Shmatikov, 2017, S&P, section VIII: coarsen the prediction vector to d digits. "
        "Classes that tie with the predicted one afterwards lose one unit of the last digit."
    )

    digits: int = parameter(1, "Digits after the point.", minimum=0, maximum=15)

    def blurred(self, probabilities: Floats, rng: np.random.Generator) -> Floats:
        """The rounded probabilities, whose largest is the one it was."""
        answers = np.round(probabilities, self.digits)
        top = probabilities.argmax(1)[:, None]
        ties = answers >= np.take_along_axis(answers, top, 1)
        np.put_along_axis(ties, top, False, 1)
        unit = 10.0**-self.digits
        highest = np.maximum(np.take_along_axis(answers, top, 1), unit)
        np.put_along_axis(answers, top, highest, 1)
        return np.round(np.where(ties, highest - unit, answers), self.digits).astype(probabilities.dtype)
