"""Sentences in a text file, one per line, as numbers of words."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.archives import SHOWN, quoted
from app.errors import InvalidUpload, Reason
from app.record_sets.records import RecordLimits, RecordSet

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
"""The first words of every vocabulary: behind the end, before and after a sentence, and a rare word."""
FEWEST_WORDS = 2
TEXT = "Save the file as text in UTF-8, one sentence per line."


def read(path: Path, limits: RecordLimits) -> RecordSet:
    """The sentences of a text as (n, longest + 2) numbers of words: <bos>, the words, <eos>, and <pad> behind.

    Words are what stands between spaces, in lower case; empty lines do not count. The vocabulary holds the most
    frequent words, ties in alphabetical order. Raises InvalidUpload with every reason at once.
    """
    sentences = [(number, line.lower().split()) for number, line in enumerate(_lines(path, limits), 1) if line.strip()]
    if reasons := list(_complaints(sentences, limits)):
        raise InvalidUpload(reasons)
    counts = Counter(word for _, words in sentences for word in words)
    known = sorted(counts, key=lambda word: (-counts[word], word))[: limits.words - len(SPECIAL)]
    place = {word: number for number, word in enumerate(known, len(SPECIAL))}
    x = np.full((len(sentences), max(len(words) for _, words in sentences) + 2), PAD, np.float32)
    for row, (_, words) in enumerate(sentences):
        x[row, : len(words) + 2] = [START, *(place.get(word, UNKNOWN) for word in words), END]
    vocabulary = (*SPECIAL, *known)
    return RecordSet(x, np.zeros(len(x), np.int64), len(vocabulary), vocabulary, is_text=True)


def _lines(path: Path, limits: RecordLimits) -> list[str]:
    """The lines of the file; NUL and other control characters are no text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = Reason("The file is text in UTF-8.", f"byte {error.start:,} is none", TEXT)
        raise InvalidUpload([reason]) from error
    lines = text.split("\n")
    if len(lines) > 2 * limits.records:
        raise InvalidUpload([_too_many(len(lines), limits)])
    controls = [number for number, line in enumerate(lines, 1) if any(ord(c) < 32 and c not in "\t\r" for c in line)]
    if controls:
        found = f"control characters in line {', '.join(map(str, controls[:SHOWN]))}"
        raise InvalidUpload([Reason("The file holds nothing but text.", found, TEXT, len(controls))])
    return lines


def _complaints(sentences: list[tuple[int, list[str]]], limits: RecordLimits) -> Iterator[Reason]:
    if not 1 <= len(sentences) <= limits.records:
        yield _too_many(len(sentences), limits)
    short = [number for number, words in sentences if len(words) < FEWEST_WORDS]
    if short:
        found = f"line {', '.join(map(str, short[:SHOWN]))}"
        yield Reason(f"A sentence has at least {FEWEST_WORDS} words.", found, "Remove these lines.", len(short))
    long = [(number, len(words)) for number, words in sentences if len(words) > limits.sentence_words]
    if long:
        found = ", ".join(f"line {number} has {count:,}" for number, count in long[:SHOWN])
        rule = f"A sentence has at most {limits.sentence_words:,} words."
        yield Reason(rule, found, "Split these lines into sentences.", len(long))
    wide = [(number, max(words, key=len)) for number, words in sentences if max(map(len, words), default=0) > 64]
    if wide:
        found = ", ".join(f"line {number}: {quoted(word)}" for number, word in wide[:SHOWN])
        yield Reason("A word has at most 64 letters.", found, "Separate words with spaces.", len(wide))


def _too_many(count: int, limits: RecordLimits) -> Reason:
    return Reason(f"There are 1 to {limits.records:,} sentences.", f"{count:,}", "Choose a part of the text.")
