"""Labelled images as the attacks take them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageSetLimits:
    """How much a file may hold; everything is checked before the memory is taken."""

    total_bytes: int = 512 << 20
    """All samples as single-precision numbers, and all arrays together as they lie in the file."""
    samples: int = 100_000
    classes: int = 10_000


@dataclass(frozen=True)
class ImageSet:
    """Images with the classes that they show, and the range in which their values are valid."""

    samples: NDArray[np.float32]
    """(N, C, H, W), whatever the file's order of axes was."""
    labels: NDArray[np.int64]
    """(N,), from 0."""
    class_names: tuple[str, ...]
    """Empty if the file has none."""
    low: float
    high: float
    """The range of valid values: [0, 1] for uint8 (divided by 255) and for numbers that lie within it, [0, 255] for
    numbers that lie within that, else from the smallest to the largest value of the whole set."""
    original_dtype: str
    layout: str = "NCHW"
    """The order of axes in the file: NCHW or NHWC."""

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.samples)

    @property
    def classes(self) -> int:
        """The number of classes: of the names, or of the labels up to the largest."""
        return max(len(self.class_names), int(self.labels.max(initial=-1)) + 1)

    def name(self, label: int) -> str:
        """What a class is called: its name, or its number."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)
