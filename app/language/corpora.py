"""Corpora: one sentence a line, after a first line that is empty or the address of the page they come from."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.errors import InvalidUpload, Reason
from app.language.tokens import tokenise

MAX_BYTES = 16 << 20
MAX_SENTENCES = 20_000
MAX_CHARACTERS = 2_000
MAX_TOKENS = 256
MAX_WORDS = 20_000
"""Different words of a corpus."""
ADDRESS = re.compile(r"https?://\S+")
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SHOWN = 5


@dataclass(frozen=True)
class Corpus:
    """Sentences in their order; duplicates are kept."""

    sentences: tuple[str, ...]
    source: str = ""
    """The address of the page that they come from, if any."""

    def __len__(self) -> int:
        """The number of sentences."""
        return len(self.sentences)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the sentences, wherever they come from."""
        return hashlib.sha256("\n".join(self.sentences).encode()).hexdigest()

    @cached_property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """The words of each sentence: what makes two sentences the same to a model."""
        return tuple(tuple(tokenise(sentence)) for sentence in self.sentences)

    @cached_property
    def distinct(self) -> tuple[int, ...]:
        """The places of the sentences that have words which no earlier sentence has in the same order."""
        first: dict[tuple[str, ...], int] = {}
        for place, key in enumerate(self.keys):
            if key:
                first.setdefault(key, place)
        return tuple(first.values())

    def to_text(self) -> str:
        """The corpus as a file; `read` gives it back."""
        return "\n".join((self.source, *self.sentences))


def parse(text: str) -> Corpus:
    """The corpus in a text: its non-blank lines; a first line that is an address is the source.

    Raises InvalidUpload with every reason at once.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").split("\n")]
    source = lines[0] if lines and ADDRESS.fullmatch(lines[0]) else ""
    first = 1 if source else 0
    corpus = Corpus(tuple(line for line in lines[first:] if line), source)
    reasons = [*_line_complaints(lines[first:], first), *_extent_complaints(corpus)]
    if reasons:
        raise InvalidUpload(reasons)
    return corpus


def read(path: Path) -> Corpus:
    """The corpus in a file of UTF-8 text. Raises InvalidUpload with every reason at once."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        rule, found = f"A corpus has at most {MAX_BYTES / 1e6:.0f} MB.", f"{size / 1e6:,.1f} MB"
        raise InvalidUpload([Reason(rule, found, "Take fewer sentences.")])
    try:
        return parse(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        where = f"the byte {error.start:,} is not"
        raise InvalidUpload([Reason("A corpus is text in UTF-8.", where, "Save it as UTF-8.")]) from error


def _line_complaints(lines: list[str], before: int) -> Iterator[Reason]:
    """What is wrong with single lines; `before` lines stand before the first."""
    rules = {
        f"A sentence has at most {MAX_CHARACTERS:,} characters.": lambda line: len(line) > MAX_CHARACTERS,
        "A sentence has no control characters.": lambda line: FORBIDDEN.search(line) is not None,
        f"A sentence has at most {MAX_TOKENS} words.": lambda line: (
            len(line) <= MAX_CHARACTERS and len(tokenise(line)) > MAX_TOKENS
        ),
    }
    for rule, is_broken in rules.items():
        broken = [number for number, line in enumerate(lines, before + 1) if is_broken(line)]
        if broken:
            where = "line " + ", ".join(map(str, broken[:SHOWN]))
            yield Reason(rule, where, "Write one sentence a line.", len(broken))


def _extent_complaints(corpus: Corpus) -> Iterator[Reason]:
    if len(corpus) > MAX_SENTENCES:
        yield Reason(f"A corpus has at most {MAX_SENTENCES:,} sentences.", f"{len(corpus):,}", "Take fewer sentences.")
        return
    if len(corpus.distinct) < 2:
        rule = "A corpus has at least two different sentences, one a line."
        yield Reason(rule, f"{len(corpus.distinct)}", "Words are made of the letters a to z and of digits.")
    words = {word for key in corpus.keys for word in key}
    if len(words) > MAX_WORDS:
        yield Reason(f"A corpus has at most {MAX_WORDS:,} different words.", f"{len(words):,}", "Take less text.")
