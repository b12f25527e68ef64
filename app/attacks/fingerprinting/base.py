"""What every fingerprinting attack is: labelled training captures in, class probabilities of test captures out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.traces import Traces

Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""

FLOOR = 1e-6
"""No class is ever called impossible: a single wrong zero would make the log-loss of an answer infinite."""


def silent(share: float) -> None:
    """Progress that nobody watches."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """Progress of a step that takes the work from share `start` to share `end`."""
    return lambda share: progress(start + (end - start) * share)


@dataclass(frozen=True)
class Problem:
    """One classification problem in which every class has at least one training capture."""

    train: Traces
    labels: NDArray[np.int64]
    """(len(train),): classes 0 to classes - 1, each of which occurs."""
    test: Traces
    classes: int
    rng: np.random.Generator
    device: str
    progress: Progress


class Attack(ABC):
    """A fingerprinting attack: a frozen dataclass whose fields are its hyperparameters."""

    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue; and which variant this is."""

    def probabilities(
        self,
        train: Traces,
        labels: NDArray[np.int32],
        test: Traces,
        classes: int,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float32]:
        """How likely each test capture belongs to each class, learnt from the labelled training captures.

        `labels` holds one of 0 to classes - 1 per training capture. Returns (len(test), classes); rows sum to 1.
        Classes without a training capture get almost nothing; without any training capture the answer is uniform.
        Raises ValueError when the labels do not fit the training captures or the classes.
        """
        _check(labels, len(train), classes)
        present, compact = np.unique(labels, return_inverse=True)
        scores = np.zeros((len(test), classes))
        if len(present) == 1:
            scores[:, present] = 1.0
        elif len(present) and len(test):
            problem = Problem(train, compact.astype(np.int64), test, len(present), rng, device, progress)
            scores[:, present] = self.scores(problem)
        progress(1.0)
        return as_probabilities(scores)

    @abstractmethod
    def scores(self, problem: Problem) -> NDArray[np.floating]:
        """(len(test), classes) non-negative scores; `probabilities` makes their rows sum to 1."""


def as_probabilities(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of non-negative scores as probabilities, none of them 0; a row without any score becomes uniform."""
    total = scores.sum(axis=1, keepdims=True)
    shares = np.divide(scores, total, out=np.zeros(scores.shape), where=total > 0) + FLOOR
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def _check(labels: NDArray[np.int32], captures: int, classes: int) -> None:
    if len(labels) != captures:
        raise ValueError(f"{len(labels)} labels for {captures} training captures")
    if captures and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(f"labels must lie between 0 and {classes - 1}")
