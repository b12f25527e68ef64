"""CUMUL: a support vector machine on samples of the cumulative bytes."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from app.attacks.fingerprinting.base import Attack, Problem, part
from app.attacks.fingerprinting.features import cumul
from app.attacks.fingerprinting.scaling import Scaler
from app.parameters import parameter

COSTS = (100.0, 1000.0, 10000.0)
WIDTHS = (0.3, 1.0, 3.0)
"""Multiples of 1 / features: the kernel's gamma."""
SHARPNESS = (0.3, 0.6, 1.0, 2.0)
"""How strongly the machine's scores speak; chosen with the other two, by the log-loss of held-out captures."""


@dataclass(frozen=True)
class Cumul(Attack):
    """The curve of the cumulative bytes, and an RBF machine whose cost and width are cross-validated."""

    title: ClassVar[str] = "CUMUL"
    source: ClassVar[str] = (
        "Panchenko et al., 2016, NDSS, section IV; closed world. Features are scaled by robust quantiles and clipped "
        "instead of to [-1, 1], because one long capture flattens all the others; the grid is smaller than the "
        "paper's; scores become probabilities by a softmax whose sharpness is cross-validated."
    )

    points: int = parameter(100, "Points of the cumulative curve.", minimum=2, maximum=500)
    folds: int = parameter(2, "Folds of the cross-validation.", minimum=2, maximum=10)

    def scores(self, problem: Problem) -> NDArray[np.floating]:
        """Softmax of the machine's one-against-rest scores."""
        X = cumul(problem.train, self.points)
        scaler = Scaler.fitted(X)
        cost, width, sharpness = self._searched(scaler(X), problem)
        machine = _machine(cost, width, X.shape[1]).fit(scaler(X), problem.labels)
        return _softmax(sharpness * _decision(machine, scaler(cumul(problem.test, self.points)), problem.classes))

    def _searched(self, X: NDArray[np.float32], problem: Problem) -> tuple[float, float, float]:
        """Cost, width and sharpness with the most correct held-out captures, then the smallest log-loss."""
        fold = folded(problem.labels, self.folds, problem.rng)
        watch = part(problem.progress, 0.0, 0.9)
        found: list[tuple[float, float, tuple[float, float, float]]] = []
        settings = list(product(COSTS, WIDTHS))
        for done, (cost, width) in enumerate(settings):
            scores = self._held_out(X, problem, fold, cost, width)
            right = np.mean(scores.argmax(axis=1) == problem.labels)
            for sharpness in SHARPNESS:
                chance = _softmax(sharpness * scores)[np.arange(len(X)), problem.labels]
                found.append((-float(right), -float(np.log(chance + 1e-12).mean()), (cost, width, sharpness)))
            watch((done + 1) / len(settings))
        return min(found)[2]

    def _held_out(
        self, X: NDArray[np.float32], problem: Problem, fold: NDArray[np.int64], cost: float, width: float
    ) -> NDArray[np.float64]:
        """(n, classes): the score of every training capture by the machine that did not see its fold."""
        scores = np.zeros((len(X), problem.classes))
        for index in np.unique(fold):
            inside = fold != index
            if len(np.unique(problem.labels[inside])) > 1:
                machine = _machine(cost, width, X.shape[1]).fit(X[inside], problem.labels[inside])
                scores[~inside] = _decision(machine, X[~inside], problem.classes)
        return scores


def folded(labels: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,): a fold for every capture, such that each class is spread as evenly as possible."""
    order = np.argsort(labels + rng.random(len(labels)), kind="stable")
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % folds
    return fold


def _machine(cost: float, width: float, features: int) -> SVC:
    return SVC(C=cost, gamma=width / features, cache_size=200)


def _decision(machine: SVC, X: NDArray[np.float32], classes: int) -> NDArray[np.float64]:
    """(n, classes): one-against-rest scores; a class that the machine does not know gets the lowest score."""
    known = machine.decision_function(X)
    if known.ndim == 1:
        # Between two classes the machine answers with one signed distance.
        known = np.stack([-known, known], axis=1)
    scores = np.repeat(known.min(axis=1, keepdims=True), classes, axis=1)
    scores[:, machine.classes_] = known
    return scores


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    exponential = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=1, keepdims=True))
