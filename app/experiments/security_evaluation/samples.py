"""Which samples of a data set are evaluated."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidUpload, Reason
from app.experiments.security_evaluation.parameters import FAST, Parameters
from app.image_sets import ImageSet

Integers = NDArray[np.int64]


def choose(images: ImageSet, parameters: Parameters, rng: np.random.Generator) -> Integers:
    """The numbers of the chosen samples: ascending, or in the order that was asked for. Raises InvalidUpload."""
    if parameters.evaluation_mode == "complete":
        return np.arange(len(images))
    if parameters.evaluation_mode == "fast":
        return stratified(images.labels, FAST, rng)
    rows = np.array(parameters.rows(), np.int64)
    if missing := rows[rows >= len(images)].tolist():
        rule = f"The data set has the samples 0 to {len(images) - 1:,}."
        shown = ", ".join(map(str, missing[:5]))
        raise InvalidUpload([Reason(rule, f"indexes {shown}", "Name samples that there are.", len(missing))])
    return rows


def stratified(labels: Integers, count: int, rng: np.random.Generator) -> Integers:
    """Ascending numbers of `count` samples (or all) drawn at random in the proportions of the classes.

    Every class gets its share up to one sample: of each class the k-th drawn one stands at (k + 1/2) / (size of the
    class), and the first `count` of this order are taken.
    """
    order = rng.permutation(len(labels))
    shuffled = labels[order]
    by_class = np.argsort(shuffled, kind="stable")
    _, start, size = np.unique(shuffled[by_class], return_index=True, return_counts=True)
    rank = np.empty(len(labels))
    rank[by_class] = (np.arange(len(labels)) - np.repeat(start, size) + 0.5) / np.repeat(size, size)
    first = np.argsort(rank, kind="stable")[:count]
    return np.sort(order[first])


def part(images: ImageSet, rows: Integers) -> ImageSet:
    """The chosen samples, with the range of values of the whole set."""
    return dataclasses.replace(images, samples=images.samples[rows], labels=images.labels[rows])
