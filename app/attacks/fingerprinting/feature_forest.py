"""A forest on burst and cumulative features: the house's quick attack."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from app.attacks.fingerprinting import features
from app.attacks.fingerprinting.base import Attack, Problem, part
from app.attacks.fingerprinting.forests import grown
from app.parameters import parameter
from app.traces import Traces


@dataclass(frozen=True)
class FeatureForest(Attack):
    """Extremely randomised trees on cumulative bytes, cumulative incoming bytes and burst sizes."""

    title: ClassVar[str] = "Extra-trees on bursts and cumulative bytes"
    source: ClassVar[str] = (
        "A combination of the house: CUMUL features (Panchenko et al., 2016, NDSS), incoming bytes before each "
        "outgoing packet, and burst sizes, with extremely randomised trees (Geurts et al., 2006, Machine Learning 63)."
    )

    trees: int = parameter(300, "Trees of the forest.", minimum=1, maximum=2000)
    share: float = parameter(0.4, "Share of the features that each split looks at.", minimum=0.01, maximum=1.0)
    points: int = parameter(100, "Points of the cumulative curves.", minimum=2, maximum=500)
    bursts: int = parameter(150, "First bursts whose size is a feature.", minimum=1, maximum=500)

    def scores(self, problem: Problem) -> NDArray[np.floating]:
        """The shares of the trees' votes."""
        X = self.matrix(problem.train)
        watch = part(problem.progress, 0.0, 0.95)
        settings = {"max_features": self.share}
        forest = grown(ExtraTreesClassifier, self.trees, X, problem.labels, problem.rng, watch, **settings)
        return np.asarray(forest.predict_proba(self.matrix(problem.test)))

    def matrix(self, traces: Traces) -> NDArray[np.float32]:
        """(n, 4 + 2 points + bursts): the three families side by side."""
        cumulative = [features.cumul(traces, self.points), features.cumulative_incoming(traces, self.points)]
        return np.hstack([*cumulative, features.burst_sizes(traces, self.bursts)])
