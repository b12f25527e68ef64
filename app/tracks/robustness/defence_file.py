"""Reads the ONNX file that a defender uploads, and checks how the model behaves. Loads torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.bundles import Bundle
from app.errors import InvalidUpload, Reason
from app.onnx_models.metering import COMPUTING_FAILED
from app.tracks.robustness import classifier, images
from app.tracks.robustness.classifier import Classifier

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

SAME = 1e-4
"""Logits of one image may differ by this much, absolutely and relatively, between two runs."""
PROBES = 64
SHOWN = 5
PROBE_SEED = 0


def read(upload: Path, settings: "Settings") -> Bundle:
    """The model as {"model": uint8[bytes], "parameters": int64[]}. Raises InvalidUpload with every reason."""
    read_model = classifier.load(upload, settings)
    reasons = list(_behaviour_complaints(read_model, settings))
    if reasons:
        raise InvalidUpload(reasons)
    return bundle(upload.read_bytes(), read_model)


def bundle(data: bytes, model: Classifier) -> Bundle:
    """The defence that a file's bytes are."""
    return {"model": np.frombuffer(data, np.uint8), "parameters": np.array(model.model.parameters_count, np.int64)}


def _behaviour_complaints(model: Classifier, settings: "Settings") -> Iterator[Reason]:
    """What is wrong with the answers to the hidden images, to noise, and to the darkest and the brightest image."""
    _, hidden = images.split(settings)
    noise = np.random.default_rng(PROBE_SEED).random((PROBES, *images.SHAPE), np.float32)
    corners = np.stack([np.zeros(images.SHAPE, np.float32), np.ones(images.SHAPE, np.float32)])
    probes = np.concatenate([hidden.pixels, noise, corners])
    try:
        outputs, again = model.outputs(probes), model.outputs(probes[::-1])[::-1]
    except (*COMPUTING_FAILED, ValueError) as error:
        where = ascii(str(error).split("\n")[0][:200])
        yield Reason("The model can be computed for many images at once.", where, "Take float32 images as input.")
        return
    yield from _output_complaints(outputs, again)
    right = float((outputs[: len(hidden)].argmax(axis=1) == hidden.labels).mean())
    if right < settings.MIN_CLEAN_ACCURACY:
        rule = f"The model classifies at least {settings.MIN_CLEAN_ACCURACY:.0%} of the hidden images correctly."
        fix = "Give pixels between 0 and 1 while training, and keep the order of the classes 0 to 9."
        yield Reason(rule, f"{right:.1%}", fix)


def _output_complaints(outputs: NDArray[np.float32], again: NDArray[np.float32]) -> Iterator[Reason]:
    broken = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if len(broken):
        rule = "All outputs are finite for images between 0 and 1."
        where = f"NaN or infinity for {len(broken)} of {len(outputs)} images"
        yield Reason(rule, where, "Export the logits, and look for divisions and logarithms.", len(broken))
    moved = np.flatnonzero(~np.isclose(outputs, again, SAME, SAME, equal_nan=True).all(axis=1))
    if len(moved):
        rule = "The model answers the same when it is asked twice, whatever other images stand next to it."
        difference = float(np.nanmax(np.abs(outputs[moved] - again[moved])))
        where = f"logits of {len(moved)} images differ by up to {difference:.3g}"
        yield Reason(rule, where, "Export with model.eval(), without randomness.", len(moved))
