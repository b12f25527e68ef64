"""The sentences that a person asks about."""

from dataclasses import dataclass

from app.language.corpora import FORBIDDEN, MAX_CHARACTERS, MAX_TOKENS, Corpus
from app.language.manifests import Manifest
from app.language.tokens import tokenise

MAX_SENTENCES, MAX_INPUT = 1_000, 200_000
TRAINED, HELD_OUT, STRANGE = "trained on", "held out", "no"
"""Whether a sentence is in the corpus."""


def parse(text: str) -> tuple[str, ...]:
    """The sentences of an input, one a line or separated by |; blank ones do not count.

    Raises ValueError, in words that follow the name of the field.
    """
    if len(text) > MAX_INPUT:
        raise ValueError(f"must have at most {MAX_INPUT:,} characters")
    found = tuple(part.strip() for line in text.splitlines() for part in line.split("|") if part.strip())
    if len(found) > MAX_SENTENCES:
        raise ValueError(f"must be at most {MAX_SENTENCES:,} sentences, not {len(found):,}")
    for sentence in found:
        if len(sentence) > MAX_CHARACTERS or len(tokenise(sentence)) > MAX_TOKENS:
            raise ValueError(f"must be sentences of at most {MAX_CHARACTERS:,} characters and {MAX_TOKENS} words")
        if FORBIDDEN.search(sentence):
            raise ValueError("must not have control characters")
    return found


def demonstration(corpus: Corpus, manifest: Manifest) -> tuple[str, ...]:
    """Nine sentences for whoever asks about none: a member, another of the corpus, and seven that may be in neither."""
    return (
        corpus.sentences[manifest.members[0]],
        "Are you suggesting coconuts migrate?",
        corpus.sentences[manifest.others[0]],
        "Just a flesh wound.",
        "Alice writes essays in watercolor at dawn.",
        "Nikola builds AI pipelines on GCP with privacy-first design.",
        "Carol designs landscapes in charcoal on weekends.",
        "Well, she turned me into a newt!",
        "Ni!",
    )


@dataclass(frozen=True)
class Whereabouts:
    """Which words, in which order, are whose."""

    members: frozenset[tuple[str, ...]]
    others: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, corpus: Corpus, manifest: Manifest) -> "Whereabouts":
        """Of the sentences of a split."""
        return cls(*(frozenset(corpus.keys[place] for place in part) for part in (manifest.members, manifest.others)))

    def find(self, sentence: str) -> str:
        """Where a sentence is: TRAINED, HELD_OUT or STRANGE."""
        key = tuple(tokenise(sentence))
        return TRAINED if key in self.members else HELD_OUT if key in self.others else STRANGE
