"""Runs an attack on a language model's training text. Loads torch."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from app.attacks.membership.text.base import Evidence, Need, TextAttack
from app.bundles import Bundle
from app.language.recipes import Recipe
from app.language.references import Study, halves, reference_losses
from app.language.tokens import SPECIAL
from app.tracks.base import Progress
from app.tracks.membership import sentences
from app.tracks.membership.answer_file import SCORE

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

REFERENCES = 8
RECIPE = Recipe(epochs=30, batch_size=32, embedding=64, hidden=128)
"""Of the reference models."""


def answer(
    attack: TextAttack,
    public: Bundle,
    settings: "Settings",
    rng: np.random.Generator,
    device: str,
    progress: Progress,
) -> Bundle:
    """A score for each candidate."""
    x, words = public["candidates_x"], int(public["classes"])
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(public["model"].tobytes())
        model = sentences.load(path, settings, x.shape[1:], words)
    model.model.to(device)
    evidence = _evidence(model, x, _texts(x, public["words"]))
    if Need.REFERENCES in attack.needs:
        everything = np.concatenate([x, public["population_x"]])
        members = halves(len(everything), REFERENCES, rng)
        study = Study(sentences.encoded(everything), words, RECIPE)
        losses = reference_losses(study, members, rng, device, progress=progress)
        evidence = Evidence(**{**vars(evidence), **_references(losses[:, : len(x)], members[:, : len(x)])})
    scores = attack(evidence)
    progress(1.0)
    return {"record_id": public["record_id"], SCORE: np.asarray(scores, np.float64)}


def _references(losses: NDArray[np.float64], members: NDArray[np.bool_]) -> dict[str, NDArray]:
    return {"reference_losses": losses, "reference_members": members}


def _evidence(model: sentences.LanguageModel, x: NDArray[np.float32], texts: tuple[str, ...]) -> Evidence:
    """What the model says of each word of each sentence."""
    lines = sentences.encoded(x)
    found = np.zeros((3, *lines.targets.shape))
    for part, logs in model.each(x):
        logs = logs[:, :-1]
        targets = torch.from_numpy(lines.targets[part]).to(logs.device)
        shares = logs.exp()
        mean = (shares * logs).sum(-1)
        deviation = (shares * (logs - mean[..., None]).square()).sum(-1).sqrt()
        own = logs.gather(2, targets[..., None])[..., 0]
        found[:, part] = torch.stack([own, mean, deviation]).double().cpu().numpy()
    found = np.nan_to_num(found) * (np.arange(lines.targets.shape[1]) < lines.lengths[:, None])
    return Evidence(found[0], found[1], found[2], lines.lengths, texts)


def _texts(x: NDArray[np.float32], words: NDArray[np.str_]) -> tuple[str, ...]:
    """The sentences in words, without the special ones that only mark a place."""
    marks = len(SPECIAL) - 1
    return tuple(" ".join(words[row[row >= marks]]) for row in x.astype(np.int64))
