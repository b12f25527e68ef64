"""Trained models as files: weights in the safetensors format, with manifest, vocabulary and losses as JSON beside them.

The file holds numbers and text only; nothing of it is ever run.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from app.errors import InvalidUpload, Reason
from app.language import manifests
from app.language.corpora import MAX_WORDS, Corpus
from app.language.manifests import Manifest
from app.language.network import WordLSTM, empty
from app.language.tokens import SPECIAL, Vocabulary
from app.language.training import Watch, ignore, train

FORMAT = "srs-word-lstm-1"
PARTS = ("manifest", "vocabulary", "losses")
MAX_BYTES = 256 << 20
MAX_TEXT = 8 << 20
MAX_WORD = 2_000
MAX_LOSSES = 1000
FIX = "Take a file that was downloaded here, unchanged."


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with all that is needed to use it and to audit it."""

    network: WordLSTM
    vocabulary: Vocabulary
    manifest: Manifest
    losses: tuple[float, ...]
    """The mean training loss of each epoch, in nats."""


def fit(corpus: Corpus, manifest: Manifest, device: str = "cpu", watch: Watch = ignore) -> Checkpoint:
    """Train the model that the manifest describes; the same manifest on the same machine gives the same model."""
    members = [corpus.sentences[place] for place in manifest.members]
    vocabulary, losses = Vocabulary.of(members), list[float]()

    def note(epoch: int, loss: float, network: WordLSTM) -> None:
        losses.append(loss)
        watch(epoch, loss, network)

    # A stream of its own: the split took the seed itself.
    rng = np.random.default_rng([manifest.seed, 1])
    network = train(vocabulary.encode(members), len(vocabulary), manifest.recipe, rng, device, note)
    return Checkpoint(network, vocabulary, manifest, tuple(losses))


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as a file; equal checkpoints become equal bytes."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in checkpoint.network.state_dict().items()}
    values = (checkpoint.manifest.to_json(), checkpoint.vocabulary.words, checkpoint.losses)
    # One entry only: the format does not keep several in their order.
    return save(weights, {FORMAT: json.dumps(dict(zip(PARTS, values, strict=True)), sort_keys=True)})


def read(path: Path, device: str = "cpu") -> Checkpoint:
    """The checkpoint in a stranger's file. Raises InvalidUpload with every reason that can be told at once."""
    if path.stat().st_size > MAX_BYTES:
        rule, found = f"A checkpoint has at most {MAX_BYTES >> 20} MB.", f"{path.stat().st_size / 1e6:,.0f} MB"
        raise InvalidUpload([Reason(rule, found, "Train a smaller model.")])
    try:
        with safe_open(path, "np") as file:
            return _read(file, device)
    except (SafetensorError, TypeError, ValueError) as error:
        rule, found = "A checkpoint is an undamaged file in the safetensors format.", ascii(str(error))[1:100]
        raise InvalidUpload([Reason(rule, found, FIX)]) from error


def _read(file: Any, device: str) -> Checkpoint:
    parts = _parts(file.metadata() or {})
    manifest = manifests.parse(parts["manifest"])
    vocabulary, losses = Vocabulary(_words(parts["vocabulary"])), _losses(parts["losses"])
    recipe = manifest.recipe
    # A network without memory knows the names and shapes.
    wanted = empty(len(vocabulary), recipe.embedding, recipe.hidden, "meta").state_dict()
    reasons = list(_shape_complaints(file, {name: tuple(weight.shape) for name, weight in wanted.items()}))
    if reasons:
        raise InvalidUpload(reasons)
    weights: dict[str, NDArray] = {name: file.get_tensor(name) for name in wanted}
    broken = [name for name, weight in weights.items() if not np.isfinite(weight).all()]
    if broken:
        raise InvalidUpload([Reason("All weights are finite.", ", ".join(broken), FIX, len(broken))])
    network = empty(len(vocabulary), recipe.embedding, recipe.hidden, device)
    network.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    return Checkpoint(network.eval(), vocabulary, manifest, losses)


def _shape_complaints(file: Any, wanted: dict[str, tuple[int, ...]]) -> Iterator[Reason]:
    names = set(file.keys())
    if names != set(wanted):
        yield Reason(f"The weights are {', '.join(wanted)}.", ", ".join(sorted(names))[:200], FIX)
        return
    for name, shape in wanted.items():
        weight = file.get_slice(name)
        if tuple(weight.get_shape()) != shape or weight.get_dtype() != "F32":
            rule = f"The weight {name} is of float32 and has the shape {shape}."
            yield Reason(rule, f"{weight.get_dtype()} {weight.get_shape()}"[:100], FIX)


def _parts(texts: dict[str, str]) -> dict[str, Any]:
    rule = f"The file's metadata has one entry, {FORMAT}, which is JSON with {', '.join(PARTS)}."
    if set(texts) != {FORMAT} or len(texts[FORMAT]) > MAX_TEXT:
        raise InvalidUpload([Reason(rule, ", ".join(sorted(texts))[:200] or "no entry", FIX)])
    try:
        parts = json.loads(texts[FORMAT])
    except (ValueError, RecursionError) as error:
        raise InvalidUpload([Reason(rule, ascii(str(error))[1:100], FIX)]) from error
    if not isinstance(parts, dict) or set(parts) != set(PARTS):
        raise InvalidUpload([Reason(rule, "something else", FIX)])
    return parts


def _words(words: Any) -> tuple[str, ...]:
    is_list = isinstance(words, list) and len(SPECIAL) < len(words) <= MAX_WORDS + len(SPECIAL)
    if not is_list or not all(isinstance(word, str) and 0 < len(word) <= MAX_WORD for word in words):
        rule = f"The vocabulary is a list of up to {MAX_WORDS:,} words after {', '.join(SPECIAL)}."
        raise InvalidUpload([Reason(rule, "something else", FIX)])
    if tuple(words[: len(SPECIAL)]) != SPECIAL or len(set(words)) < len(words):
        rule = f"The vocabulary begins with {', '.join(SPECIAL)} and names each word once."
        raise InvalidUpload([Reason(rule, ascii(words[:4])[:100], FIX)])
    return tuple(words)


def _losses(losses: Any) -> tuple[float, ...]:
    if not isinstance(losses, list) or len(losses) > MAX_LOSSES:
        raise InvalidUpload([Reason("The losses are a list of one number for each epoch.", "something else", FIX)])
    if not all(isinstance(loss, float) and np.isfinite(loss) for loss in losses):
        raise InvalidUpload([Reason("The losses are finite numbers.", "others", FIX)])
    return tuple(losses)
