"""The defence at work: an ONNX model that is asked about images. Loads torch."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app import onnx_models
from app.errors import InvalidUpload, Reason
from app.onnx_models import ModelLimits, OnnxModel, parsing, structure
from app.tracks.robustness.images import CLASSES, SHAPE

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

FLAT = (int(np.prod(SHAPE)),)
ROWS = 512
NO_CLASS = -1
"""The prediction for an input whose outputs are not all finite: it is always wrong."""


@dataclass(frozen=True)
class Classifier:
    """A model with the images' own shape, whatever shape it was exported with."""

    model: OnnxModel

    @property
    def is_flat(self) -> bool:
        """Whether the model takes rows of 64 pixels."""
        return len(self.model.input_shape) == 2

    def logits(self, x: Tensor) -> Tensor:
        """(n, 10) for images (n, 1, 8, 8); differentiable, and taken before a final softmax."""
        return self.model.logits(x.flatten(1) if self.is_flat else x)

    def outputs(self, pixels: NDArray) -> NDArray[np.float32]:
        """(n, 10): the logits of images (n, 1, 8, 8) on the CPU."""
        with torch.no_grad():
            parts = [self.logits(part) for part in torch.from_numpy(pixels.astype(np.float32)).split(ROWS)]
        return torch.cat(parts).float().numpy()

    def predictions(self, pixels: NDArray) -> NDArray[np.int64]:
        """(n,): the class of the highest logit, the first one of several; NO_CLASS if a logit is not finite."""
        outputs = self.outputs(pixels)
        found = outputs.argmax(axis=1).astype(np.int64)
        return np.where(np.isfinite(outputs).all(axis=1), found, NO_CLASS)

    def on(self, device: str) -> "Classifier":
        """The same on a device, with weights that take no gradient."""
        return Classifier(self.model.to(device).requires_grad_(False))


def limits(settings: "Settings") -> ModelLimits:
    """What a model of this round may take: a few thousand times what small images need."""
    size = int(settings.MAX_MODEL_MB * 1e6)
    return ModelLimits(
        file_bytes=size,
        nodes=5_000,
        parameter_bytes=4 * size,
        tensor_bytes=32 << 20,
        sample_bytes=128 << 20,
        run_bytes=512 << 20,
        operations=settings.MAX_MILLION_OPERATIONS * 10**6,
    )


def load(path: Path, settings: "Settings") -> Classifier:
    """The classifier in an ONNX file. Raises InvalidUpload with every reason."""
    bounds = limits(settings)
    model = onnx_models.load(path, bounds)
    wanted = FLAT if len(model.input_shape) == 2 else SHAPE
    reasons = [*_type_complaints(path, bounds), *_shape_complaints(model, wanted)]
    if reasons:
        raise InvalidUpload(reasons)
    if None in model.input_shape[1:]:
        model = onnx_models.load(path, bounds, input_shape=wanted)
    return Classifier(model).on("cpu")


def from_bytes(model: NDArray[np.uint8], settings: "Settings") -> Classifier:
    """The classifier of an accepted defence."""
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.tobytes())
        return load(path, settings)


def _type_complaints(path: Path, bounds: ModelLimits) -> list[Reason]:
    """The referee asks in floating point, so a file that declares anything else would not be what opponents run."""
    found = structure.check(parsing.read(path, bounds), bounds).dtype
    if found.is_floating_point:
        return []
    return [Reason("The model takes images of floating point.", str(found), "Export with a float32 example.")]


def _shape_complaints(model: OnnxModel, wanted: tuple[int, ...]) -> list[Reason]:
    reasons = []
    found = model.input_shape[1:]
    if len(found) != len(wanted) or any(a not in (None, b) for a, b in zip(found, wanted, strict=True)):
        rule = f"The model takes images of the shape (N, {', '.join(map(str, SHAPE))}) or (N, {FLAT[0]})."
        reasons.append(Reason(rule, _shape(model.input_shape), "Export with an example of such a shape."))
    if model.output_shape != (None, CLASSES):
        rule = f"The model has one output of the shape (N, {CLASSES}): a score for each class."
        reasons.append(
            Reason(rule, _shape(model.output_shape), "Export the logits, without argmax or further outputs.")
        )
    return reasons


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('N' if length is None else str(length) for length in shape)})"
