"""Reads the ONNX file that a defender uploads, and checks how the model behaves. Loads torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.bundles import Bundle
from app.errors import InvalidUpload, Reason
from app.onnx_models import OnnxModel, classifiers
from app.onnx_models.classifiers import Classifier
from app.tracks.membership import classifier, sentences
from app.tracks.membership.material import Material

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

MOST_PROBES = 1024


def read(upload: Path, found: Material, settings: "Settings") -> Bundle:
    """The model as {"model": uint8[bytes], "parameters": int64[]}. Raises InvalidUpload with every reason."""
    if found.about.is_text:
        return _read_language_model(upload, found, settings)
    model = classifiers.load(upload, classifier.limits(settings), classifier.task(found))
    reasons = list(_complaints(model, found, settings))
    if reasons:
        raise InvalidUpload(reasons)
    return bundle(upload.read_bytes(), model.model)


def bundle(data: bytes, model: OnnxModel) -> Bundle:
    """The defence that a file's bytes are."""
    return {"model": np.frombuffer(data, np.uint8), "parameters": np.array(model.parameters_count, np.int64)}


def _read_language_model(upload: Path, found: Material, settings: "Settings") -> Bundle:
    model = sentences.load(upload, settings, found.about.shape, found.about.classes)
    reasons = list(sentences.complaints(model, found.held_out.x, settings))
    if reasons:
        raise InvalidUpload(reasons)
    return bundle(upload.read_bytes(), model.model)


def _complaints(model: Classifier, found: Material, settings: "Settings") -> Iterator[Reason]:
    """What is wrong with the answers to held-out records and to records of the pool."""
    probes = np.concatenate([found.held_out.x, found.pool.x])[:MOST_PROBES]
    yield from classifiers.behaviour_complaints(model, probes, "of the round")
    right = float((model.predictions(found.held_out.x) == found.held_out.y).mean())
    if right < settings.MIN_ACCURACY:
        rule = f"The model classifies at least {settings.MIN_ACCURACY:.0%} of the held-out records correctly."
        fix = "Train longer, give records as they were issued, and keep the numbers of the classes."
        yield Reason(rule, f"{right:.1%}", fix)
