"""What the referee measures of a defence: how often it is right. Loads torch."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.tracks.base import Bundle, Estimate, Score, Seat
from app.tracks.membership import classifier, figures, sentences
from app.tracks.membership.material import Material, training_set

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

RARE = 104
"""Words have numbers by falling frequency: from here on they are none of the hundred most frequent ones."""


def utility(
    defence: Bundle,
    found: Material,
    settings: "Settings",
    seat: Seat,
    reference: Mapping[str, float] | None = None,
) -> Score:
    """The accuracy on the held-out records, divided by that of the reference if there is one, at most 1."""
    if found.about.is_text:
        return _of_language_model(defence, found, settings, seat, reference)
    model = classifier.from_bytes(defence["model"], settings, classifier.task(found))
    right, labels = model.predictions(found.held_out.x) == found.held_out.y, found.held_out.y
    training = training_set(found, seat)
    accuracy = share(right)
    by_class = [share(right[labels == label]) for label in np.unique(labels)]
    return Score(
        value=_relative(accuracy, reference),
        metrics={
            "accuracy": accuracy,
            "worst_class": min(by_class, key=lambda estimate: estimate.value),
            "training_accuracy": share(model.predictions(training.x) == training.y),
            "parameters": Estimate(float(defence["parameters"])),
        },
        figures=(figures.by_class(right, labels, found.about.class_names),),
    )


def _of_language_model(
    defence: Bundle, found: Material, settings: "Settings", seat: Seat, reference: Mapping[str, float] | None
) -> Score:
    """The share of held-out words that the model expects most, from the words before them alone."""
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(defence["model"].tobytes())
        model = sentences.load(path, settings, found.about.shape, found.about.classes)
    held_out = sentences.expectations(model, found.held_out.x)
    training = sentences.expectations(model, training_set(found, seat).x)
    accuracy = share(held_out.right)
    return Score(
        value=_relative(accuracy, reference),
        metrics={
            "accuracy": accuracy,
            "worst_class": share(held_out.right[held_out.true >= RARE]),
            "training_accuracy": share(training.right),
            "parameters": Estimate(float(defence["parameters"])),
        },
    )


def _relative(accuracy: Estimate, reference: Mapping[str, float] | None) -> float:
    return min(1.0, accuracy.value / ((reference or {}).get("accuracy") or 1.0))


def share(flags: NDArray[np.bool_]) -> Estimate:
    """The share of true values with Wilson's interval; 0 when there are none."""
    return Estimate(float(flags.mean()) if len(flags) else 0.0, *metrics.wilson(float(flags.sum()), len(flags)))
