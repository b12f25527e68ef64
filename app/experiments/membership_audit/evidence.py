"""Asks the model, and what it is compared with, about every sentence."""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership.text import Evidence, Need
from app.experiments.base import Watch
from app.experiments.membership_audit.parameters import Parameters
from app.language import references, scoring, splits
from app.language.checkpoints import Checkpoint
from app.language.corpora import Corpus
from app.language.references import Study
from app.language.tokens import Encoded, tokenise

PROCESSES = 8
"""The most reference models that are trained side by side."""
ASKED = 0.1
"""The share of the work that is not the reference models'."""


@dataclass(frozen=True)
class Candidates:
    """Sentences in the order members, others, asked for."""

    texts: tuple[str, ...]
    members: int
    others: int
    is_fair: NDArray[np.bool_]
    """(others,): whether no member has the same words."""

    @classmethod
    def of(cls, corpus: Corpus, checkpoint: Checkpoint, asked: tuple[str, ...]) -> "Candidates":
        """The sentences of the model's split, and those that were asked for."""
        split = checkpoint.manifest.split
        places = (*checkpoint.manifest.members, *checkpoint.manifest.others)
        texts = (*(corpus.sentences[place] for place in places), *asked)
        is_fair = ~splits.overlap(corpus, split.members, split.others)
        return cls(texts, len(split.members), len(split.others), is_fair)

    @property
    def known(self) -> int:
        """The number of sentences of the split."""
        return self.members + self.others

    @property
    def is_member(self) -> NDArray[np.bool_]:
        """Whether each sentence of the split is a member."""
        return np.arange(self.known) < self.members


def gather(
    checkpoint: Checkpoint,
    candidates: Candidates,
    parameters: Parameters,
    rng: np.random.Generator,
    device: str,
    progress: Watch,
) -> Evidence:
    """What the chosen attacks ask for."""
    network = checkpoint.network
    lines = checkpoint.vocabulary.encode(candidates.texts)
    found = scoring.statistics(network, lines, len(checkpoint.vocabulary), device, parameters.batch_size)
    progress(ASKED / 2)
    asked: dict[str, Any] = {}
    if parameters.needs(Need.NEIGHBOURS):
        copies = scoring.neighbours(network, lines, parameters.neighbours, rng, device)
        asked["neighbour_losses"] = np.stack([scoring.losses(network, copy, device) for copy in copies], axis=1)
    progress(ASKED)
    if parameters.needs(Need.REFERENCES):
        asked |= _references(checkpoint, candidates, lines, parameters, rng, device, progress)
    return Evidence(found.log_probabilities, found.means, found.deviations, found.lengths, candidates.texts, **asked)


def _references(
    checkpoint: Checkpoint,
    candidates: Candidates,
    lines: Encoded,
    parameters: Parameters,
    rng: np.random.Generator,
    device: str,
    progress: Watch,
) -> dict[str, NDArray]:
    """The losses under reference models, and which of them were trained on the words of each sentence."""
    # Equal sentences go together, or one that a model was not trained on would be known to it all the same.
    number: dict[tuple[str, ...], int] = {}
    keys = [tuple(tokenise(text)) for text in candidates.texts]
    places = np.array([number.setdefault(key, len(number)) for key in keys[: candidates.known]])
    halves = references.halves(len(number), parameters.references, rng)
    strange = np.array([number.get(key, -1) for key in keys[candidates.known :]], np.int64)
    asked = halves[:, strange] & (strange >= 0)
    trained = np.concatenate([halves[:, places], np.zeros_like(asked)], axis=1)
    recipe = checkpoint.manifest.recipe
    recipe = replace(recipe, epochs=parameters.reference_epochs or recipe.epochs)
    losses = references.reference_losses(
        Study(lines, len(checkpoint.vocabulary), recipe),
        trained,
        rng,
        device,
        min(PROCESSES, os.cpu_count() or 1),
        lambda share: progress(ASKED + (1.0 - ASKED) * share),
    )
    return {
        "reference_losses": losses,
        "reference_members": np.concatenate([halves[:, places], asked], axis=1),
    }
