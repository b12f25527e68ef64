"""What the referee measures: clean accuracy for the defender, broken inputs for the attacker. Loads torch."""

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.onnx_models.classifiers import Task
from app.tracks.base import Bundle, Estimate, Score
from app.tracks.robustness import classifier, figures
from app.tracks.robustness.answer_file import distances
from app.tracks.robustness.images import Material

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

REPLICATES = 200


def utility(
    defence: Bundle, material: Material, settings: "Settings", reference: Mapping[str, float] | None = None
) -> Score:
    """The accuracy on all hidden images, divided by that of the reference if there is one, at most 1."""
    hidden, wanted = material.hidden, Task(material.shape, material.classes)
    right = classifier.from_bytes(defence["model"], settings, wanted).predictions(hidden.pixels) == hidden.labels
    accuracy = share(right)
    by_class = [share(right[hidden.labels == label]) for label in np.unique(hidden.labels)]
    scale = (reference or {}).get("clean_accuracy") or 1.0
    return Score(
        value=min(1.0, accuracy.value / scale),
        metrics={
            "clean_accuracy": accuracy,
            "worst_class": min(by_class, key=lambda estimate: estimate.value),
            "parameters": Estimate(float(defence["parameters"])),
        },
        figures=(figures.by_class(right, hidden.labels, "Clean accuracy by class"),),
    )


def leakage(answer: Bundle, secret: Bundle, settings: "Settings") -> Score:
    """1 - robust / clean accuracy: the share of the inputs, right as they are, that the answer made wrong.

    The resamples are drawn from the inputs of the secret, so replicate b of every answer to one challenge is about the
    same inputs.
    """
    model, labels = classifier.from_bytes(secret["model"], settings, classifier.task(secret)), secret["labels"]
    clean = model.predictions(secret["inputs"]) == labels
    kept = clean & (model.predictions(answer["inputs"]) == labels)
    broken = clean & ~kept
    moved = distances(answer["inputs"], secret["inputs"], str(secret["norm"]))
    success = share(broken[clean])
    return Score(
        value=success.value,
        metrics={
            "success_rate": success,
            "robust_accuracy": share(kept),
            "clean_accuracy": share(clean),
            "mean_distance": Estimate(float(moved[broken].mean()) if broken.any() else 0.0),
        },
        replicates=_replicates(broken, clean, secret),
        figures=(
            figures.pairs(answer["inputs"], secret["inputs"], labels, broken),
            figures.by_class(kept, labels, "Robust accuracy by class"),
        ),
    )


def best_answer(secret: Bundle, settings: "Settings") -> Bundle:
    """Each input replaced by another one of the challenge that the model calls something else than the input's label.

    How much can be reached *within the ball* is what the defence decides, and telling it exactly is NP-hard. The best
    answer for the laws is therefore that of an attacker whom no ball holds: it shows that the scale reaches 1 on every
    defence. `read_answer` refuses it wherever the ball is smaller than the distance between two digits.
    """
    found = classifier.from_bytes(secret["model"], settings, classifier.task(secret)).predictions(secret["inputs"])
    return {"inputs": secret["inputs"][(found[None, :] != secret["labels"][:, None]).argmax(axis=1)]}


def share(flags: NDArray[np.bool_]) -> Estimate:
    """The share of true values with Wilson's interval; 0 when there are none."""
    return Estimate(float(flags.mean()) if len(flags) else 0.0, *metrics.wilson(float(flags.sum()), len(flags)))


def _replicates(broken: NDArray[np.bool_], clean: NDArray[np.bool_], secret: Bundle) -> NDArray[np.float64]:
    seed = [zlib.crc32(secret["inputs"].tobytes()), zlib.crc32(secret["labels"].tobytes())]
    indices = metrics.resamples(len(clean), REPLICATES, np.random.default_rng(seed))
    weights = metrics.multiplicities(indices)
    return np.asarray((weights @ broken) / np.maximum(weights @ clean, 1.0))
