"""The images of a round: handwritten digits that come with scikit-learn, split into a public and a hidden part."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

SHAPE = (1, 8, 8)
CLASSES = 10
BRIGHTEST = 16.0


@dataclass(frozen=True)
class Images:
    """n labelled images."""

    pixels: NDArray[np.float32]
    """(n, 1, 8, 8) in [0, 1]."""
    labels: NDArray[np.int64]
    """(n,): 0 to 9."""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def take(self, places: NDArray[np.int64]) -> "Images":
        """The images at these places."""
        return Images(self.pixels[places], self.labels[places])


@functools.cache
def digits() -> Images:
    """All 1,797 digits (Alpaydin and Kaynak, 1998, UCI: the test half of Optical Recognition of Handwritten Digits)."""
    # scikit-learn takes a second to load, and pages that list settings do not need it.
    from sklearn.datasets import load_digits

    loaded = load_digits()
    pixels = (loaded.images[:, None] / BRIGHTEST).astype(np.float32)
    labels = loaded.target.astype(np.int64)
    pixels.setflags(write=False)
    labels.setflags(write=False)
    return Images(pixels, labels)


def split(settings: "Settings") -> tuple[Images, Images]:
    """The public training images and the hidden images of a round.

    The first HIDDEN places of `numpy.random.default_rng([SPLIT_SEED, HIDDEN]).permutation(1797)` are hidden.
    """
    everything = digits()
    order = np.random.default_rng([settings.SPLIT_SEED, settings.HIDDEN]).permutation(len(everything))
    return everything.take(order[settings.HIDDEN :]), everything.take(order[: settings.HIDDEN])
