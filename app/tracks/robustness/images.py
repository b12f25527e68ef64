"""The images of a round, a public and a hidden part: scikit-learn's handwritten digits, or an admin's data set."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app import image_sets, record_sets
from app.errors import InvalidUpload, Reason
from app.tracks.base import Data, Seat

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

SHAPE = (1, 8, 8)
CLASSES = 10


@dataclass(frozen=True)
class Images:
    """n labelled images."""

    pixels: NDArray[np.float32]
    """(n, C, H, W) in [0, 1]."""
    labels: NDArray[np.int64]
    """(n,): from 0."""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def take(self, places: NDArray[np.int64]) -> "Images":
        """The images at these places."""
        return Images(self.pixels[places], self.labels[places])


@dataclass(frozen=True)
class Material:
    """What a round is played with."""

    public: Images
    """What teams train on."""
    hidden: Images
    """What the referee keeps."""
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""
        return self.hidden.pixels.shape[1:]


def material(settings: "Settings", seat: Seat, data: Data | None) -> Material:
    """The images of the round; which ones are hidden, and how digits are distorted, is drawn from the round's seed."""
    if data is None:
        public, hidden = split(settings)
        return Material(public, distorted(hidden, settings.DISTORTION, seat.shared("robustness: distortion")), CLASSES)
    found = image_sets.read(data.path)
    pixels = ((found.samples - found.low) / (found.high - found.low)).astype(np.float32)
    everything = Images(pixels, found.labels)
    order = seat.shared("robustness: hidden images").permutation(len(everything))
    chosen = everything.take(order[settings.HIDDEN :]), everything.take(order[: settings.HIDDEN])
    return Material(*chosen, found.classes)


def check(settings: "Settings", data: Data) -> None:
    """Raises InvalidUpload when the data set cannot carry a round with these settings."""
    found, reasons = image_sets.read(data.path), []
    if len(found) < 2 * settings.HIDDEN:
        rule = f"A data set has at least twice as many images as are hidden: {2 * settings.HIDDEN:,}."
        reasons.append(Reason(rule, f"{len(found):,} images", "Take a larger data set, or lower HIDDEN."))
    if len(np.unique(found.labels)) < 2:
        rule = "A data set shows at least two classes."
        reasons.append(Reason(rule, "one label", "Take images of several classes."))
    if reasons:
        raise InvalidUpload(reasons)


def distorted(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Images as another scan of the same paper would show them, so that nobody can look them up.

    Each is turned by up to 6 degrees, moved by up to 0.3 pixels, scaled by up to 4 % and exposed by up to 8 % (standard
    deviations are half of that), all times `strength`, with bilinear interpolation and a little noise.
    """
    if strength == 0.0:
        return images
    # SciPy takes a moment to load, and pages that list settings do not need it.
    from scipy.ndimage import map_coordinates

    count, channels, height, width = images.pixels.shape
    angle, scale, *shift, exposure = (
        strength
        * np.array([[0.052], [0.02], [0.15], [0.15], [0.04]])
        * np.clip(rng.standard_normal((5, count)), -2.0, 2.0)
    )
    rows, columns = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2
    turn = np.exp(scale + 1j * angle)[:, None, None] * (rows + 1j * columns)
    grid = [turn.real + shift[0][:, None, None], turn.imag + shift[1][:, None, None]]
    centred = [part[:, None] + (side - 1) / 2 for part, side in zip(grid, (height, width), strict=True)]
    places = np.broadcast_arrays(np.arange(count)[:, None, None, None], np.arange(channels)[:, None, None], *centred)
    moved = map_coordinates(images.pixels, np.stack(places), order=1, mode="nearest")
    noise = 0.01 * strength * rng.standard_normal(moved.shape)
    pixels = np.clip(moved * (1.0 + exposure)[:, None, None, None] + noise, 0.0, 1.0)
    return Images(pixels.astype(np.float32), images.labels)


@functools.cache
def digits() -> Images:
    """All 1,797 digits (Alpaydin and Kaynak, 1998, UCI: the test half of Optical Recognition of Handwritten Digits)."""
    found = record_sets.digits()
    return Images(found.x, found.y)


def split(settings: "Settings") -> tuple[Images, Images]:
    """The public digits and, as they were scanned, the hidden ones of a round.

    The first HIDDEN places of `numpy.random.default_rng([SPLIT_SEED, HIDDEN]).permutation(1797)` are hidden.
    """
    everything = digits()
    order = np.random.default_rng([settings.SPLIT_SEED, settings.HIDDEN]).permutation(len(everything))
    return everything.take(order[settings.HIDDEN :]), everything.take(order[: settings.HIDDEN])
