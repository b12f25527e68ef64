"""A random forest on raw packet sizes: the reference attack of the first Secret Race Strolling."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from app.attacks.fingerprinting.base import Attack, Problem, part
from app.attacks.fingerprinting.features import packet_sizes
from app.attacks.fingerprinting.forests import grown
from app.parameters import parameter
from app.traces import Traces

BUDGET = 100_000_000
"""Largest number of values (4 bytes each) of a feature matrix: one long capture widens the rows of all the others."""


@dataclass(frozen=True)
class RandomForest(Attack):
    """The signed sizes of the packets, zero-padded to the longest training capture, and a forest."""

    title: ClassVar[str] = "Random forest on packet sizes"
    source: ClassVar[str] = (
        "Breiman, 2001, Machine Learning 45; the features are the raw packet sequence, as in the first edition of this "
        "competition, cut after a bounded number of packets so that one long capture does not fill the memory."
    )

    trees: int = parameter(260, "Trees of the forest.", minimum=1, maximum=2000)
    packets: int = parameter(8000, "Packets of a capture that are looked at, at most.", minimum=1, maximum=20000)

    def scores(self, problem: Problem) -> NDArray[np.floating]:
        """The shares of the trees' votes."""
        columns = self.columns(problem.train)
        X = packet_sizes(problem.train, columns)
        watch = part(problem.progress, 0.0, 0.95)
        forest = grown(RandomForestClassifier, self.trees, X, problem.labels, problem.rng, watch)
        return np.asarray(forest.predict_proba(packet_sizes(problem.test, columns)))

    def columns(self, train: Traces) -> int:
        """Packets per capture: the longest training capture, within the limits of setting and memory."""
        return max(1, min(self.packets, int(train.length.max()), BUDGET // len(train)))
