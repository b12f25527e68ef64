"""Reads the ONNX file that a defender uploads, and checks how the model behaves. Loads torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.bundles import Bundle
from app.errors import InvalidUpload, Reason
from app.onnx_models import classifiers
from app.onnx_models.classifiers import Classifier, Task
from app.tracks.robustness import classifier
from app.tracks.robustness.images import Material

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

PROBES = 64
PROBE_SEED = 0


def read(upload: Path, material: Material, settings: "Settings") -> Bundle:
    """The model as {"model": uint8[bytes], "parameters": int64[]}. Raises InvalidUpload with every reason."""
    read_model = classifier.load(upload, settings, Task(material.shape, material.classes))
    reasons = list(_behaviour_complaints(read_model, material, settings))
    if reasons:
        raise InvalidUpload(reasons)
    return bundle(upload.read_bytes(), read_model)


def bundle(data: bytes, model: Classifier) -> Bundle:
    """The defence that a file's bytes are."""
    return {"model": np.frombuffer(data, np.uint8), "parameters": np.array(model.model.parameters_count, np.int64)}


def _behaviour_complaints(model: Classifier, material: Material, settings: "Settings") -> Iterator[Reason]:
    """What is wrong with the answers to the hidden images, to noise, and to the darkest and the brightest image."""
    hidden, shape = material.hidden, material.shape
    noise = np.random.default_rng(PROBE_SEED).random((PROBES, *shape), np.float32)
    corners = np.stack([np.zeros(shape, np.float32), np.ones(shape, np.float32)])
    probes = np.concatenate([hidden.pixels, noise, corners])
    yield from classifiers.behaviour_complaints(model, probes, "between 0 and 1")
    right = float((model.outputs(hidden.pixels).argmax(axis=1) == hidden.labels).mean())
    if right < settings.MIN_CLEAN_ACCURACY:
        rule = f"The model classifies at least {settings.MIN_CLEAN_ACCURACY:.0%} of the hidden images correctly."
        fix = "Give pixels between 0 and 1 while training, and keep the order of the classes."
        yield Reason(rule, f"{right:.1%}", fix)
