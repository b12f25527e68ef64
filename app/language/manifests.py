"""What training and auditing share, so that both mean the same sentences by "member"."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidParameters, InvalidUpload, Reason
from app.language.corpora import MAX_SENTENCES, Corpus
from app.language.recipes import Recipe
from app.language.splits import WAYS, Split
from app.parameters import describe
from app.parameters import parse as read_parameters

FIX = "Take a file that was downloaded here."
MAX_TEXT = 200


def versions() -> dict[str, str]:
    """The versions of what computes here."""
    return {name: version(name) for name in ("numpy", "torch")}


@dataclass(frozen=True)
class Manifest:
    """How a model came about."""

    corpus: str
    """The digest of its corpus."""
    sentences: int
    """How many the corpus has, duplicates included."""
    way: str
    """How it was split; a key of `splits.WAYS`."""
    members: tuple[int, ...]
    """The places in the corpus of the sentences that the model was trained on."""
    others: tuple[int, ...]
    """The places of those that it was not trained on."""
    seed: int
    """What the split, the first weights and the order of the batches are drawn from."""
    recipe: Recipe
    versions: Mapping[str, str] = field(default_factory=versions)

    @classmethod
    def of(cls, corpus: Corpus, split: Split, way: str, seed: int, recipe: Recipe) -> "Manifest":
        """The manifest of a training that is about to begin."""
        members, others = (tuple(map(int, places)) for places in (split.members, split.others))
        return cls(corpus.digest, len(corpus), way, members, others, seed, recipe)

    @property
    def split(self) -> Split:
        """The places as arrays."""
        return Split(np.array(self.members, np.int64), np.array(self.others, np.int64))

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON; `parse` reads it back."""
        return asdict(self) | {"members": list(self.members), "others": list(self.others)}

    def check_corpus(self, corpus: Corpus) -> None:
        """Refuse another corpus, of which nobody knows what the model was trained on. Raises InvalidUpload."""
        if corpus.digest != self.corpus:
            rule = "The corpus is the very one that the model was trained on: nobody knows the members of another."
            where = f"{len(corpus):,} sentences with the digest {corpus.digest[:12]}…"
            where += f"; the model's has {self.sentences:,} and {self.corpus[:12]}…"
            raise InvalidUpload([Reason(rule, where, "Choose the model's own corpus, or train a model on this one.")])


def parse(found: Any) -> Manifest:
    """The manifest in a stranger's JSON. Raises InvalidUpload with every reason at once."""
    names = {entry.name for entry in fields(Manifest)}
    if not isinstance(found, dict) or set(found) != names:
        raise InvalidUpload([Reason(f"The manifest has the entries {', '.join(sorted(names))}.", "others", FIX)])
    reasons = [*_entry_complaints(found), *_recipe_complaints(found["recipe"])]
    if reasons:
        raise InvalidUpload(reasons)
    places = {name: tuple(found[name]) for name in ("members", "others")}
    return Manifest(**{**found, **places, "recipe": read_parameters(Recipe, found["recipe"])})


def _entry_complaints(found: Mapping[str, Any]) -> Iterator[Reason]:
    count = found["sentences"]
    if not _is_whole(count) or not 2 <= count <= MAX_SENTENCES:
        yield Reason(f"The manifest says that the corpus has 2 to {MAX_SENTENCES:,} sentences.", str(count)[:40], FIX)
        return
    if not all(_are_places(found[name], count) for name in ("members", "others")):
        yield Reason("Members and others are lists of at least one place in the corpus, each place once.", "", FIX)
    elif not set(found["members"]).isdisjoint(found["others"]):
        yield Reason("No sentence is a member and none at once.", "", FIX)
    if not _is_whole(found["seed"]) or not 0 <= found["seed"] < 1 << 63:
        yield Reason("The seed is a whole number of at most 63 bits.", str(found["seed"])[:40], FIX)
    texts = [found["corpus"], found["way"], *_texts(found["versions"])]
    if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts) or found["way"] not in WAYS:
        yield Reason("The digest, the way of the split and the versions are short texts, the way a known one.", "", FIX)


def _texts(versions: Any) -> list[Any]:
    """Names and numbers of versions; something that is no text, if they are no such table."""
    return [*versions, *versions.values()] if isinstance(versions, dict) and len(versions) <= 20 else [None]


def _recipe_complaints(recipe: Any) -> Iterator[Reason]:
    names = [entry.name for entry in describe(Recipe)]
    if not isinstance(recipe, dict) or set(recipe) != set(names):
        yield Reason(f"The recipe has the entries {', '.join(names)}.", "others", FIX)
        return
    try:
        read_parameters(Recipe, recipe)
    except InvalidParameters as error:
        for name, problem in error.problems.items():
            yield Reason(f"The recipe's {name} {problem}.", ascii(recipe[name])[:40], FIX)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_places(found: Any, count: int) -> bool:
    if not isinstance(found, list) or not 1 <= len(found) <= count or not all(map(_is_whole, found)):
        return False
    places: NDArray = np.array([place if 0 <= place < count else -1 for place in found])
    return bool(places.min() >= 0) and len(np.unique(places)) == len(places)
