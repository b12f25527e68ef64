"""The batches of an epoch: sentences packed for an LSTM layer, beginnings that several of them share only once."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.language.tokens import Encoded

Integers = NDArray[np.int64]
WORTH = 7 / 8
"""Beginnings are shared while this many of the sentences' are different at most: below, it saves more than it costs."""


class Batch(NamedTuple):
    """Words that are read (n,) and words that are to be said (m,), all first words first, nothing but real words.

    What an LSTM knows after a word depends on nothing but the words up to it, so it reads these once for all sentences
    that begin with them.
    """

    inputs: Integers
    """(n,): what is read."""
    counts: tuple[int, ...]
    """How many are read as a first word, as a second one, and so on."""
    before: Integers
    """(n - counts[0],): the place of the word before each of the others."""
    shared: int
    """How many steps are shared; later on, each sentence has its own word, by falling length."""
    sentences: int
    after: Integers
    """(m,): the place of the word that was read last when each word is to be said."""
    targets: Integers
    """(m,): what is to be said."""
    weights: NDArray[np.float32]
    """(m,): what each word counts in the mean over sentences of the means over their words."""


def beginnings(lines: Encoded) -> Integers:
    """(N, T): for each word a number of all words of its sentence up to it, greater for more words."""
    found = np.zeros(lines.inputs.shape, np.int64)
    numbers = np.zeros(len(lines), np.int64)
    for step, words in enumerate(lines.inputs.T):
        both = np.stack([numbers, words], axis=1)
        numbers = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1) + found.max(initial=-1) + 1
        found[:, step] = numbers
    return found


def batches(lines: Encoded, size: int, rng: np.random.Generator, begun: Integers | None = None) -> Iterator[Batch]:
    """The batches of one epoch, in a new order; sentences share what they begin with if `begun`, `beginnings`, says."""
    order = rng.permutation(len(lines))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield _packed(lines, rows[np.argsort(-lines.lengths[rows], kind="stable")], begun)


def _packed(lines: Encoded, rows: Integers, begun: Integers | None) -> Batch:
    lengths = lines.lengths[rows]
    is_real = np.arange(lengths[0])[:, None] < lengths
    counts = is_real.sum(axis=1)
    steps, sentences = np.nonzero(is_real)
    places = rows[sentences]
    each = np.arange(len(places))
    first, after, shared = (each, each, 0) if begun is None else _shared(begun[places, steps], steps, counts)
    read = np.bincount(steps[first])
    later = first[read[0] :]
    return Batch(
        inputs=lines.inputs[places[first], steps[first]],
        counts=tuple(read.tolist()),
        # A sentence's word before stands as many places earlier as sentences have one there.
        before=after[later - counts[steps[later] - 1]],
        shared=shared,
        sentences=len(rows),
        after=after,
        targets=lines.targets[places, steps],
        weights=(1.0 / (lengths[sentences] * len(rows))).astype(np.float32),
    )


def _shared(begun: Integers, steps: Integers, counts: Integers) -> tuple[Integers, Integers, int]:
    """Which of the words (m,) are read (n,), the place among these that stands for each, and the steps shared."""
    _, first, after = np.unique(begun, return_index=True, return_inverse=True)
    different = np.bincount(steps[first], minlength=len(counts))
    # Sentences that differ once differ ever after, so the steps with few beginnings are the first ones.
    depth = int(np.argmin(np.append(different <= WORTH * counts, False)))
    read, words = int(different[:depth].sum()), int(counts[:depth].sum())
    rest = np.arange(words, len(begun))
    return np.append(first[:read], rest), np.append(after[:words], rest - words + read), depth
