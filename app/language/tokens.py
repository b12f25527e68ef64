"""Sentences as words, and words as numbers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
FOREIGN = re.compile(r"[^a-z0-9\s.]")


def tokenise(sentence: str) -> list[str]:
    """The words of a sentence: lower-case letters and digits, and full stops, each a word or the start of one.

    Everything else vanishes, as in the corpora that published numbers refer to.
    """
    return FOREIGN.sub("", sentence.lower()).replace(".", " .").split()


@dataclass(frozen=True)
class Encoded:
    """n sentences as numbers, each as `<bos> words <eos>`, filled up with PAD to the longest, T = its words + 1."""

    inputs: NDArray[np.int64]
    """(n, T): what the model reads, from BOS on."""
    targets: NDArray[np.int64]
    """(n, T): what it is to say next, up to EOS."""
    lengths: NDArray[np.int64]
    """(n,): how many targets count, at least 1."""

    def __len__(self) -> int:
        """The number of sentences."""
        return len(self.lengths)

    def take(self, places: NDArray) -> "Encoded":
        """The sentences at these places (indices or a mask), no longer than the longest of them."""
        lengths = self.lengths[places]
        longest = int(lengths.max(initial=1))
        return Encoded(self.inputs[places, :longest], self.targets[places, :longest], lengths)


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows, by number; the SPECIAL ones come first."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, sentences: Iterable[str]) -> "Vocabulary":
        """All words in the order of their first occurrence."""
        found = dict.fromkeys(word for sentence in sentences for word in tokenise(sentence))
        return cls((*SPECIAL, *found))

    def __len__(self) -> int:
        """The number of words, the special ones included."""
        return len(self.words)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words)}

    def encode(self, sentences: Sequence[str]) -> Encoded:
        """The sentences as numbers; unknown words are UNK."""
        rows = [[self.numbers.get(word, UNK) for word in tokenise(sentence)] for sentence in sentences]
        lengths = np.array([len(row) + 1 for row in rows], np.int64)
        inputs = np.full((len(rows), int(lengths.max(initial=1))), PAD, np.int64)
        targets = inputs.copy()
        for place, row in enumerate(rows):
            inputs[place, : len(row) + 1] = [BOS, *row]
            targets[place, : len(row) + 1] = [*row, EOS]
        return Encoded(inputs, targets, lengths)

    def unknown_share(self, sentence: str) -> float:
        """The share of a sentence's words that the vocabulary does not hold; 0 for a sentence without words."""
        words = tokenise(sentence)
        return sum(word not in self.numbers for word in words) / max(1, len(words))
