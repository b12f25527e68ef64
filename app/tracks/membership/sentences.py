"""The defence at work in a round on sentences: a model that says what word comes next. Loads torch.

Only what a model says after the words that it was shown counts: to look ahead would make any model useful.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app import onnx_models
from app.errors import InvalidUpload, Reason
from app.language.tokens import PAD, Encoded
from app.onnx_models import OnnxModel, parsing, structure
from app.onnx_models.metering import COMPUTING_FAILED
from app.tracks.membership import classifier
from app.tracks.membership.classifier import SMALLEST

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

SCORES = 1 << 24
"""Scores held at a time: 64 MB of float32."""
WORDS_ASKED = 8
"""Words of each sentence that the referee asks for, at random places."""
MOST_SENTENCES = 1000
PLACE_SEED = 0
SAME = 1e-3


@dataclass(frozen=True)
class LanguageModel:
    """A model that takes numbers of words, and gives scores of the next word at each place."""

    model: OnnxModel
    takes_integers: bool
    words: int

    def log_probabilities(self, x: Tensor) -> Tensor:
        """(n, T, words) of sentences (n, T), on the model's device; from logits as well as from probabilities."""
        found = self.model(x.long() if self.takes_integers else x.float()).float()
        sums = found.sum(-1)
        if bool((found >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
            return found.clamp_min(SMALLEST).log()
        return found.log_softmax(-1)

    def each(self, x: NDArray) -> Iterator[tuple[slice, Tensor]]:
        """The places of some sentences and their log-probabilities (b, T, words), part after part."""
        step = max(1, SCORES // (x.shape[1] * self.words))
        device = next((weight.device for weight in self.model.parameters()), torch.device("cpu"))
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            with torch.no_grad():
                yield part, self.log_probabilities(torch.from_numpy(x[part]).to(device))


@dataclass(frozen=True)
class Words:
    """What a model expects at some places of some sentences, of which it was shown only the words before."""

    expected: NDArray[np.int64]
    """(m,): the likeliest word; -1 where a number is not finite."""
    true: NDArray[np.int64]
    """(m,)"""
    disagreement: float
    """The largest difference to the log-probabilities of the likeliest words when the whole sentence is shown."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """(m,): whether the likeliest word is the true one."""
        return self.expected == self.true


def encoded(x: NDArray[np.float32]) -> Encoded:
    """Sentences (n, T) as what a model reads and what it is to say."""
    whole = x.astype(np.int64)
    return Encoded(whole[:, :-1], whole[:, 1:], (whole[:, 1:] != PAD).sum(axis=1))


def load(path: Path, settings: "Settings", shape: tuple[int, ...], words: int) -> LanguageModel:
    """The language model in an ONNX file. Raises InvalidUpload with every reason."""
    limits = classifier.limits(settings)
    declared = structure.check(parsing.read(path, limits), limits).dtype
    model = onnx_models.load(path, limits, input_shape=shape)
    if model.output_shape != (None, *shape, words):
        rule = (
            f"The model takes (N, {shape[0]}) numbers of words and gives (N, {shape[0]}, {words}) scores of the next."
        )
        fix = "Export the logits at every place, for all words of about.json."
        raise InvalidUpload([Reason(rule, f"{model.input_shape} to {model.output_shape}", fix)])
    return LanguageModel(model.requires_grad_(False), not declared.is_floating_point, words)


def expectations(model: LanguageModel, x: NDArray[np.float32]) -> Words:
    """What the model expects at up to WORDS_ASKED random places of each of the first MOST_SENTENCES of x (n, T)."""
    x = x[:MOST_SENTENCES]
    lines = encoded(x)
    order = np.argsort(np.random.default_rng(PLACE_SEED).random(lines.targets.shape) + 2.0 * (lines.targets == PAD))
    chosen = np.arange(lines.targets.shape[1]) < np.minimum(lines.lengths, WORDS_ASKED)[:, None]
    sentence, place = np.nonzero(chosen)[0], order[chosen]
    shown = np.where(np.arange(x.shape[1]) <= place[:, None], x[sentence], np.float32(PAD))
    best, height = _likeliest(model, shown, place)
    seen = _heights(model, np.ascontiguousarray(x), sentence, place, best)
    is_finite = np.isfinite(height)
    difference = np.nan_to_num(np.abs(height - seen), nan=np.inf)
    return Words(
        np.where(is_finite, best, -1),
        lines.targets[sentence, place],
        float(difference.max(initial=0.0, where=is_finite)),
    )


def _likeliest(
    model: LanguageModel, x: NDArray[np.float32], place: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The likeliest word at one place of each sentence (m, T), and its log-probability; NaN where any is not finite."""
    best, height = np.zeros(len(x), np.int64), np.zeros(len(x), np.float32)
    for part, logs in model.each(x):
        at = logs[torch.arange(len(logs), device=logs.device), torch.from_numpy(place[part]).to(logs.device)]
        values, words = at.max(1)
        best[part] = words.cpu().numpy()
        height[part] = values.where(at.isfinite().all(1), torch.nan).cpu().numpy()
    return best, height


def _heights(
    model: LanguageModel,
    x: NDArray[np.float32],
    sentence: NDArray[np.int64],
    place: NDArray[np.int64],
    word: NDArray[np.int64],
) -> NDArray[np.float32]:
    """(m,): the log-probability of a word at a place of a sentence; sentences (n, T) are shown as a whole."""
    found = np.zeros(len(sentence), np.float32)
    for part, logs in model.each(x):
        here = np.flatnonzero((sentence >= part.start) & (sentence < part.stop))
        picked = (torch.from_numpy(one[here]).to(logs.device) for one in (sentence - part.start, place, word))
        found[here] = logs[tuple(picked)].cpu().numpy()
    return found


def complaints(model: LanguageModel, held_out: NDArray[np.float32], settings: "Settings") -> Iterator[Reason]:
    """What is wrong with the answers to held-out sentences. Raises InvalidUpload when there are none."""
    try:
        words = expectations(model, held_out)
    except (*COMPUTING_FAILED, ValueError) as error:
        where = ascii(str(error).split("\n")[0][:200])
        reason = Reason("The model can be computed for many sentences at once.", where, "Export with open lengths.")
        raise InvalidUpload([reason]) from error
    broken = int((words.expected < 0).sum())
    if broken:
        rule = "All outputs are finite for the sentences of the round."
        yield Reason(rule, f"NaN or infinity at {broken} places", "Export the logits.", broken)
    elif words.disagreement > SAME:
        rule = "What the model says at a place depends on the words up to there, and on no later ones."
        where = f"log-probabilities differ by up to {words.disagreement:.3g} when later words are hidden"
        yield Reason(rule, where, "Read sentences in one direction, and export with model.eval().")
    if words.right.mean() < settings.MIN_ACCURACY:
        rule = f"The model names at least {settings.MIN_ACCURACY:.0%} of the held-out words."
        fix = "Train longer, and keep the numbers of the words in about.json."
        yield Reason(rule, f"{words.right.mean():.1%}", fix)
