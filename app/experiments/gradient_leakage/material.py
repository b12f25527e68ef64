"""The records of a run: what comes with the platform, or a file of its owner; private and public parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import record_sets
from app.errors import InvalidUpload, Reason

PUBLIC, WINDOW, SIDE, STRIPS, CLASSES = 400, 96, 32, 6, 10
MOST_PUBLIC = 2000


@dataclass(frozen=True)
class Material:
    """Records in [0, 1], of which no private one is public."""

    private_x: NDArray[np.float32]
    private_y: NDArray[np.int64]
    public_x: NDArray[np.float32]
    public_y: NDArray[np.int64]
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record."""
        return tuple(self.private_x.shape[1:])


def gather(inputs: Mapping[str, Path], data: str, needed: int, rng: np.random.Generator) -> Material:
    """The material of a run that needs so many private records.

    Raises InvalidUpload when a file has too few records or both kinds of files are given.
    """
    if not inputs and data == "photographs":
        return _photographs(needed, rng)
    x, y, classes = _records(inputs, rng)
    if len(y) < 2 * needed:
        rule = f"There are at least {2 * needed} records: {needed} private ones and as many public ones."
        raise InvalidUpload([Reason(rule, f"{len(y)}", "Add records, or attack fewer.")])
    order = rng.permutation(len(y))
    private, public = order[:needed], order[needed:][:MOST_PUBLIC]
    return Material(x[private], y[private], x[public], y[public], classes)


def _records(
    inputs: Mapping[str, Path], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    if len(inputs) > 1:
        raise InvalidUpload([Reason("A run works on images or on a table, not on both.", "", "Choose one file.")])
    found = record_sets.read(*next(iter(inputs.items()))) if inputs else record_sets.digits()
    return _scaled(found.x), found.y, found.classes


def _scaled(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The records put on [0, 1]: all of an image by one scale, every column of a table by its own."""
    axes = (0,) if x.ndim == 2 else None
    low, high = x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True)
    scaled: NDArray[np.float32] = ((x - low) / np.where(high > low, high - low, 1.0)).astype(np.float32)
    return scaled


def _photographs(needed: int, rng: np.random.Generator) -> Material:
    """Private and public crops of alternating strips of two photographs, with random labels.

    What a crop shows is not what its label says, which is of no concern to a gradient of an untrained network.
    """
    private, public = ((crops(first, count, rng), rng.integers(CLASSES, size=count)) for first, count in
                       ((0, needed), (1, PUBLIC)))  # fmt: skip
    return Material(*private, *public, CLASSES)


def crops(first: int, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(count, 3, 32, 32): windows of 96 x 96 pixels of the photographs that come with scikit-learn.

    They lie within every second upright strip, counted from `first`, and are reduced by the mean of 3 x 3 pixels.
    """
    from sklearn.datasets import load_sample_images

    pictures, found = load_sample_images().images, []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        width = picture.shape[1] // STRIPS
        strip = first + 2 * int(rng.integers(STRIPS // 2))
        top, left = int(rng.integers(len(picture) - WINDOW)), strip * width + int(rng.integers(width - WINDOW))
        window = picture[top : top + WINDOW, left : left + WINDOW].astype(np.float32) / 255.0
        found.append(window.reshape(SIDE, WINDOW // SIDE, SIDE, WINDOW // SIDE, 3).mean(axis=(1, 3)))
    return np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2))
