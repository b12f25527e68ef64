"""Decision forests that report their growth."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from app.attacks.fingerprinting.base import Progress


def grown(
    kind: type[RandomForestClassifier | ExtraTreesClassifier],
    trees: int,
    X: NDArray,
    y: NDArray,
    rng: np.random.Generator,
    progress: Progress,
    **settings: Any,
) -> Any:
    """A forest of the given kind, fitted in ten parts so that the growth can be watched."""
    forest = kind(warm_start=True, random_state=int(rng.integers(2**31)), **settings)
    for share in np.unique(np.linspace(0, trees, 11).astype(int)[1:]):
        if share:
            forest.set_params(n_estimators=int(share)).fit(X, y)
            progress(share / trees)
    return forest
