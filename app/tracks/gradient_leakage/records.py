"""The records of a round: a public part, a part for the referee, and the part that private batches are drawn from."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from app import record_sets
from app.errors import InvalidUpload, Reason
from app.record_sets import RecordSet
from app.tracks.base import Data, Seat

if TYPE_CHECKING:
    from app.tracks.gradient_leakage.settings import Settings

KINDS = ("dataset", "table")
IMAGE_AXES = 3
LARGEST_SIDE = 64
TURN, SHIFT, STRETCH = 12.0, 0.6, 0.1
"""Degrees, pixels and share of the size by which a digit is distorted at most, at DISTORTION 1."""


@dataclass(frozen=True)
class Records:
    """n labelled records with values in [0, 1]."""

    inputs: NDArray[np.float32]
    """(n, ...)."""
    labels: NDArray[np.int64]
    """(n,)."""

    def __len__(self) -> int:
        """The number of records."""
        return len(self.labels)

    def take(self, places: NDArray[np.int64]) -> "Records":
        """The records at these places."""
        return Records(self.inputs[places], self.labels[places])


@dataclass(frozen=True)
class Parts:
    """The records of a round; no record is in two parts."""

    public: Records
    """Everybody gets these."""
    held_out: Records
    """The referee tries updates on these."""
    reserve: Records
    """Private batches are drawn from these, before any distortion."""
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record: (C, H, W), or (d,) for rows of a table."""
        return self.public.inputs.shape[1:]


def parts(settings: "Settings", seat: Seat, data: Data | None) -> Parts:
    """The parts of a round, which are the same for all of its teams."""
    return _parts((settings.PUBLIC, settings.HELD_OUT), settings.DISTORTION, Seat(seat.round), data)


def private(settings: "Settings", seat: Seat, data: Data | None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The (K, B, ...) records and (K, B) labels of the team in this seat.

    All classes come equally often, as far as there are records; which ones meet in a batch is left to chance.
    """
    reserve, rng = parts(settings, seat, data).reserve, seat.own("gradient leakage: private batches")
    count = settings.BATCHES * settings.RECORDS
    drawn = reserve.take(_balanced(reserve.labels, count, rng))
    inputs = drawn.inputs if data is not None else distorted(drawn.inputs, settings.DISTORTION, rng)
    shape = (settings.BATCHES, settings.RECORDS)
    return inputs.reshape(*shape, *inputs.shape[1:]), drawn.labels.reshape(shape)


def _balanced(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` places, in random order, among which each label occurs equally often, give or take one."""
    order = rng.permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turn[members] = np.arange(len(members))
    # The first of every class, then the second of every class, and so on.
    return rng.permutation(order[np.argsort(turn[order], kind="stable")][:count])


def check(settings: "Settings", data: Data | None) -> None:
    """Raises InvalidUpload when a data set cannot carry a round with these settings, with every reason."""
    if data is None:
        return
    found = record_sets.read(data.kind, data.path)
    reasons, needed = [], settings.PUBLIC + settings.HELD_OUT + settings.BATCHES * settings.RECORDS
    if len(found) < needed:
        rule = f"There are at least PUBLIC + HELD_OUT + BATCHES x RECORDS = {needed:,} records."
        reasons.append(Reason(rule, f"{len(found):,}", "Choose a larger data set, or lower the settings."))
    if len(found.shape) == IMAGE_AXES and max(found.shape[1:]) > LARGEST_SIDE:
        rule = f"Images have at most {LARGEST_SIDE} x {LARGEST_SIDE} pixels."
        reasons.append(Reason(rule, " x ".join(map(str, found.shape[1:])), "Make them smaller."))
    if len(found.shape) != IMAGE_AXES and settings.needs_images:
        rule = f"The model {settings.MODEL} takes images."
        reasons.append(Reason(rule, "rows of a table", "Choose the model mlp or fc2, or a data set of images."))
    if reasons:
        raise InvalidUpload(reasons)


def distorted(images: NDArray[np.float32], strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """The images (n, C, H, W), each turned, moved and stretched by a little of its own."""
    if not strength:
        return images
    drawn = rng.uniform(-strength, strength, (len(images), 4))
    return np.stack([_distorted(image, *numbers) for image, numbers in zip(images, drawn, strict=True)])


def _distorted(
    image: NDArray[np.float32], turn: float, down: float, right: float, stretch: float
) -> NDArray[np.float32]:
    angle, size = np.deg2rad(TURN * turn), 1.0 + STRETCH * stretch
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / size
    centre = (np.array(image.shape[1:]) - 1) / 2
    offset = centre - matrix @ (centre + SHIFT * np.array([down, right]))
    return np.stack([affine_transform(channel, matrix, offset, order=1) for channel in image]).clip(0.0, 1.0)


@functools.lru_cache(maxsize=4)
def _parts(sizes: tuple[int, int], strength: float, seat: Seat, data: Data | None) -> Parts:
    found = record_sets.digits() if data is None else record_sets.read(data.kind, data.path)
    records = Records(_within_0_and_1(found), found.y)
    order = seat.shared("gradient leakage: parts").permutation(len(records))
    cuts = np.split(order, np.cumsum(sizes))
    known, held, reserve = (records.take(places) for places in cuts)
    if data is None:
        # All parts are distorted alike: otherwise private images would differ from public ones by their blur.
        rng = seat.shared("gradient leakage: distortion")
        known, held = (Records(distorted(part.inputs, strength, rng), part.labels) for part in (known, held))
    return Parts(known, held, reserve, found.classes)


def _within_0_and_1(found: RecordSet) -> NDArray[np.float32]:
    """Images as they are; every column of a table from its smallest to its largest value."""
    if len(found.shape) == IMAGE_AXES:
        return found.x
    low, high = found.x.min(axis=0), found.x.max(axis=0)
    return ((found.x - low) / np.where(high > low, high - low, 1.0)).astype(np.float32)
