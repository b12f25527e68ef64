"""A stranger's classifier of records of one shape: read, asked, and checked for how it behaves."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import InvalidUpload, Reason
from app.onnx_models import loading, parsing, structure
from app.onnx_models.limits import ModelLimits
from app.onnx_models.metering import COMPUTING_FAILED
from app.onnx_models.model import OnnxModel

ROWS = 512
NO_CLASS = -1
"""The prediction for a record whose outputs are not all finite: it is always wrong."""
SAME = 1e-4
"""Logits of one record may differ by this much, absolutely and relatively, between two runs."""


@dataclass(frozen=True)
class Task:
    """What a classifier is for."""

    shape: tuple[int, ...]
    """The shape of one record."""
    classes: int
    records: str = "images"
    """What the records are called in a refusal."""

    @property
    def flat(self) -> tuple[int, ...]:
        """The shape of one record as a row of numbers."""
        return (int(np.prod(self.shape)),)

    @property
    def shapes(self) -> str:
        """The shapes that a model may take, in words."""
        return " or ".join(dict.fromkeys(f"(N, {', '.join(map(str, one))})" for one in (self.shape, self.flat)))


@dataclass(frozen=True)
class Classifier:
    """A model that takes records in the task's own shape, whatever shape it was exported with."""

    model: OnnxModel
    task: Task

    @property
    def is_flat(self) -> bool:
        """Whether the model takes rows of numbers."""
        return len(self.model.input_shape) == 2

    def logits(self, x: Tensor) -> Tensor:
        """(n, classes) for records (n, *shape); differentiable, and taken before a final softmax."""
        return self.model.logits(x.flatten(1) if self.is_flat else x)

    def outputs(self, x: NDArray) -> NDArray[np.float32]:
        """(n, classes): the logits of records (n, *shape) on the model's device, without a gradient."""
        device = next((weight.device for weight in self.model.parameters()), torch.device("cpu"))
        with torch.no_grad():
            parts = torch.from_numpy(x.astype(np.float32)).split(ROWS)
            return torch.cat([self.logits(part.to(device)).float().cpu() for part in parts]).numpy()

    def predictions(self, x: NDArray) -> NDArray[np.int64]:
        """(n,): the class of the highest logit, the first one of several; NO_CLASS if a logit is not finite."""
        outputs = self.outputs(x)
        found = outputs.argmax(axis=1).astype(np.int64)
        return np.where(np.isfinite(outputs).all(axis=1), found, NO_CLASS)

    def on(self, device: str) -> "Classifier":
        """The same on a device, with weights that take no gradient."""
        return Classifier(self.model.to(device).requires_grad_(False), self.task)


def load(path: Path, limits: ModelLimits, task: Task) -> Classifier:
    """The classifier in an ONNX file, on the CPU. Raises InvalidUpload with every reason."""
    model = loading.load(path, limits)
    wanted = task.flat if len(model.input_shape) == 2 else task.shape
    reasons = [*_type_complaints(path, limits, task), *_shape_complaints(model, wanted, task)]
    if reasons:
        raise InvalidUpload(reasons)
    if None in model.input_shape[1:]:
        model = loading.load(path, limits, input_shape=wanted)
    return Classifier(model, task).on("cpu")


def from_bytes(model: NDArray[np.uint8], limits: ModelLimits, task: Task) -> Classifier:
    """The classifier in the bytes of an ONNX file. Raises InvalidUpload with every reason."""
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.tobytes())
        return load(path, limits, task)


def behaviour_complaints(model: Classifier, probes: NDArray, values: str) -> Iterator[Reason]:
    """What is wrong with the answers to `probes`, whose `values` are described as in "between 0 and 1".

    Raises InvalidUpload when there is no answer.
    """
    outputs, again = _answers(model, probes), _answers(model, probes[::-1])[::-1]
    broken = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if len(broken):
        rule = f"All outputs are finite for {model.task.records} {values}."
        where = f"NaN or infinity for {len(broken)} of {len(outputs)} {model.task.records}"
        yield Reason(rule, where, "Export the logits, and look for divisions and logarithms.", len(broken))
    moved = np.flatnonzero(~np.isclose(outputs, again, SAME, SAME, equal_nan=True).all(axis=1))
    if len(moved):
        rule = (
            f"The model answers the same when it is asked twice, whatever other {model.task.records} stand next to it."
        )
        difference = float(np.nanmax(np.abs(outputs[moved] - again[moved])))
        where = f"logits of {len(moved)} {model.task.records} differ by up to {difference:.3g}"
        yield Reason(rule, where, "Export with model.eval(), without randomness.", len(moved))


def _answers(model: Classifier, probes: NDArray) -> NDArray[np.float32]:
    try:
        return model.outputs(probes)
    except (*COMPUTING_FAILED, ValueError) as error:
        where = ascii(str(error).split("\n")[0][:200])
        rule = f"The model can be computed for many {model.task.records} at once."
        fix = f"Take float32 {model.task.records} as input."
        raise InvalidUpload([Reason(rule, where, fix)]) from error


def _type_complaints(path: Path, limits: ModelLimits, task: Task) -> list[Reason]:
    """The referee asks in floating point, so a file that declares anything else would not be what opponents run."""
    found = structure.check(parsing.read(path, limits), limits).dtype
    if found.is_floating_point:
        return []
    rule = f"The model takes {task.records} of floating point."
    return [Reason(rule, str(found), "Export with a float32 example.")]


def _shape_complaints(model: OnnxModel, wanted: tuple[int, ...], task: Task) -> list[Reason]:
    reasons = []
    found = model.input_shape[1:]
    if len(found) != len(wanted) or any(a not in (None, b) for a, b in zip(found, wanted, strict=True)):
        rule = f"The model takes {task.records} of the shape {task.shapes}."
        reasons.append(Reason(rule, _shape(model.input_shape), "Export with an example of such a shape."))
    if model.output_shape != (None, task.classes):
        rule = f"The model has one output of the shape (N, {task.classes}): a score for each class."
        fix = "Export the logits, without argmax or further outputs."
        reasons.append(Reason(rule, _shape(model.output_shape), fix))
    return reasons


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('N' if length is None else str(length) for length in shape)})"
