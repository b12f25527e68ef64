"""Nearest neighbours on scaled features: the simplest attack that learns."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from app.attacks.fingerprinting.base import Attack, Problem
from app.attacks.fingerprinting.features import cumul
from app.attacks.fingerprinting.neighbours import votes
from app.attacks.fingerprinting.scaling import Scaler
from app.parameters import parameter

BLOCK = 500
"""Test captures whose distances to all training captures are held in memory at once."""


@dataclass(frozen=True)
class NearestNeighbour(Attack):
    """The classes of the training captures whose cumulative curves are closest (Manhattan distance)."""

    title: ClassVar[str] = "Nearest neighbours"
    source: ClassVar[str] = (
        "Cover & Hart, 1967, IEEE Transactions on Information Theory 13; on scaled CUMUL features (Panchenko et al., "
        "2016, NDSS). Not the learnt distance of Wang et al. (2014, USENIX Security)."
    )

    neighbours: int = parameter(3, "Closest training captures that vote.", minimum=1, maximum=100)
    points: int = parameter(100, "Points of the cumulative curve.", minimum=2, maximum=500)

    def scores(self, problem: Problem) -> NDArray[np.floating]:
        """Votes weighted by closeness."""
        X, X_test = cumul(problem.train, self.points), cumul(problem.test, self.points)
        scaler = Scaler.fitted(X)
        scaled = scaler(X)
        found = np.empty((len(X_test), problem.classes))
        for start in range(0, len(X_test), BLOCK):
            distance = cdist(scaler(X_test[start : start + BLOCK]), scaled, "cityblock")
            closeness = 1.0 / (1e-3 + distance)
            found[start : start + BLOCK] = votes(closeness, problem.labels, problem.classes, self.neighbours)
            problem.progress(min(1.0, (start + BLOCK) / len(X_test)))
        return found
