"""k-fingerprinting: hand-made features, a forest, and nearest neighbours among the leaves."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestClassifier

from app.attacks.fingerprinting.base import Attack, Problem, part
from app.attacks.fingerprinting.forests import grown
from app.attacks.fingerprinting.neighbours import votes
from app.attacks.fingerprinting.packet_statistics import packet_statistics
from app.parameters import parameter


@dataclass(frozen=True)
class KFingerprinting(Attack):
    """A capture's fingerprint is the vector of leaves it falls into; its class is that of the closest fingerprints."""

    title: ClassVar[str] = "k-fingerprinting"
    source: ClassVar[str] = (
        "Hayes & Danezis, 2016, USENIX Security, section 4; closed world. 140 of the paper's hand-made features; the "
        "neighbours' votes are weighted by similarity and ties are decided by the forest, so that the answer has "
        "probabilities."
    )

    trees: int = parameter(500, "Trees of the forest.", minimum=1, maximum=2000)
    neighbours: int = parameter(6, "Closest training fingerprints that vote.", minimum=1, maximum=100)

    def scores(self, problem: Problem) -> NDArray[np.floating]:
        """Votes of the closest fingerprints, with the forest's own opinion as one more neighbour."""
        X, X_test = packet_statistics(problem.train), packet_statistics(problem.test)
        watch = part(problem.progress, 0.0, 0.9)
        forest = grown(RandomForestClassifier, self.trees, X, problem.labels, problem.rng, watch)
        similarity = agreement(forest.apply(X_test), forest.apply(X))
        return votes(similarity, problem.labels, problem.classes, self.neighbours) + forest.predict_proba(X_test)


def agreement(first: NDArray[np.integer], second: NDArray[np.integer]) -> NDArray[np.float32]:
    """(n, m): the share of trees in which two captures fall into the same leaf (1 - Hamming distance).

    `first` and `second` hold one leaf number per capture and tree. A sparse product looks only at
    captures that share a leaf, which are few, instead of comparing all pairs in every tree.
    """
    trees = first.shape[1]
    leaves = int(max(first.max(), second.max())) + 1
    left, right = (_one_hot(leaf, leaves) for leaf in (first, second))
    return (left @ right.T).toarray().astype(np.float32) / trees


def _one_hot(leaf: NDArray[np.integer], leaves: int) -> csr_array:
    captures, trees = leaf.shape
    columns = (leaf + np.arange(trees) * leaves).ravel()
    rows = np.arange(captures + 1) * trees
    return csr_array((np.ones(columns.size, np.float32), columns, rows), shape=(captures, trees * leaves))
