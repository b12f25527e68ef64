"""The defence at work: an ONNX model that is asked about images. Loads torch."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.bundles import Bundle
from app.onnx_models import ModelLimits, classifiers
from app.onnx_models.classifiers import Classifier, Task
from app.tracks.robustness.images import CLASSES

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings


def task(question: Bundle) -> Task:
    """What the classifier of a challenge, public or secret half, is for."""
    return Task(question["inputs"].shape[1:], int(question.get("classes", CLASSES)))


def limits(settings: "Settings") -> ModelLimits:
    """What a model of this round may take: a few thousand times what small images need."""
    return ModelLimits.of_round(settings.MAX_MODEL_MB, settings.MAX_MILLION_OPERATIONS, tensor_bytes=32 << 20)


def load(path: Path, settings: "Settings", wanted: Task) -> Classifier:
    """The classifier in an ONNX file. Raises InvalidUpload with every reason."""
    return classifiers.load(path, limits(settings), wanted)


def from_bytes(model: NDArray[np.uint8], settings: "Settings", wanted: Task) -> Classifier:
    """The classifier of an accepted defence."""
    return classifiers.from_bytes(model, limits(settings), wanted)
