"""Which sentences of a corpus a model is trained on, and which it is never shown."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.language.corpora import Corpus

SHUFFLED, IN_ORDER, WITH_DUPLICATES = "distinct-shuffled", "distinct-in-order", "as-it-stands"
WAYS = {
    SHUFFLED: "Each sentence once, members drawn at random",
    IN_ORDER: "Each sentence once, the first ones are members",
    WITH_DUPLICATES: "File order with duplicates, as WhisperTrace split it",
}
"""Way -> how it reads."""
SHARE = 0.7


@dataclass(frozen=True)
class Split:
    """The places of the sentences in their corpus."""

    members: NDArray[np.int64]
    """What the model is trained on, in file order."""
    others: NDArray[np.int64]
    """What it is not trained on, in file order."""


def split(corpus: Corpus, way: str = SHUFFLED, share: float = SHARE, seed: int = 0) -> Split:
    """Divide a corpus; `share` of the sentences are members, at least one and at most all but one.

    With duplicates, the sentences are taken as they stand, and one half of the reason for a low AUC may be that the
    others have been trained on as well: see `overlap`.
    """
    if way == WITH_DUPLICATES:
        places = np.arange(len(corpus))
        wanted = int(share * len(corpus))
    else:
        places = np.array(corpus.distinct, np.int64)
        places = np.random.default_rng(seed).permutation(places) if way == SHUFFLED else places
        wanted = round(share * len(places))
    cut = min(max(1, wanted), len(places) - 1)
    return Split(np.sort(places[:cut]), np.sort(places[cut:]))


def overlap(corpus: Corpus, members: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of the others has the very words of a member, so that the model was trained on it after all."""
    trained = {corpus.keys[place] for place in members}
    return np.array([corpus.keys[place] in trained for place in others], bool)
