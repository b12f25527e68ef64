"""Records as games and attacks take them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RecordLimits:
    """How much a file may hold; everything is checked before the memory is taken."""

    file_bytes: int = 512 << 20
    text_bytes: int = 32 << 20
    """Of a file of sentences, whose words take some twenty times as much memory."""
    total_bytes: int = 512 << 20
    """All records as single-precision numbers."""
    records: int = 200_000
    classes: int = 1_000
    columns: int = 2_000
    """Columns of a csv."""
    categories: int = 100
    """Different texts in a column of a csv."""
    words: int = 20_000
    """Different words in a text; the rarest beyond them become one."""
    sentence_words: int = 128
    """Words of one sentence."""


@dataclass(frozen=True)
class RecordSet:
    """n labelled records of one shape; its arrays are read-only."""

    x: NDArray[np.float32]
    """(n, ...): images in [0, 1], standardised columns, or the numbers of words, filled up with 0."""
    y: NDArray[np.int64]
    """(n,): classes from 0; all 0 where the words of a sentence are its labels."""
    classes: int
    """The length of a model's last axis: classes, or words."""
    class_names: tuple[str, ...] = ()
    """Of the classes, or the words; empty if they have none."""
    feature_names: tuple[str, ...] = ()
    """Of the columns of a table; else empty."""
    is_text: bool = False
    """Whether records are sentences: x holds words, and each word is to be told from the ones before it."""

    def __post_init__(self) -> None:
        """Forbid writing: sets are cached and shared."""
        for array in (self.x, self.y):
            array.setflags(write=False)

    def __len__(self) -> int:
        """The number of records."""
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record."""
        return self.x.shape[1:]

    def name(self, label: int) -> str:
        """What a class is called: its name, or its number."""
        return self.class_names[label] if label < len(self.class_names) else str(label)
