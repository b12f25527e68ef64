"""The model that is attacked: an ONNX classifier that takes samples as the data set has them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app import onnx_models
from app.errors import InvalidUpload, Reason
from app.experiments.security_evaluation.parameters import Parameters
from app.image_sets import ImageSet

MEMORY = 2 << 30
"""Bytes of intermediate results that the gradients of one batch may keep."""
MOST = 512
"""Samples of one batch, at most."""
FLAT, FIRST, LAST = "one axis", "channels first", "channels last"


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / std of each channel; tensors of shape (1, C or 1, 1, 1)."""

    mean: Tensor
    std: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The values that the model was trained on."""
        return (x - self.mean) / self.std


class Target(nn.Module):
    """Samples (B, C, H, W) in the data set's own range to logits (B, K)."""

    def __init__(self, model: onnx_models.OnnxModel, layout: str, scaling: Scaling | None, device: str) -> None:
        super().__init__()
        self.model, self.layout, self.scaling, self.device = model, layout, scaling, device

    @property
    def classes(self) -> int:
        """K, the number of logits."""
        return int(self.model.output_shape[1] or 0)

    def forward(self, x: Tensor) -> Tensor:
        """The logits; of a model that ends with a softmax, what goes into it."""
        return self.model.logits(self.prepared(x))

    def prepared(self, x: Tensor) -> Tensor:
        """The samples as the file's own input takes them."""
        x = x if self.scaling is None else self.scaling(x)
        if self.layout == LAST:
            return x.permute(0, 2, 3, 1)
        return x.flatten(1) if self.layout == FLAT else x

    def batch(self, values: int) -> int:
        """How many samples of `values` numbers fit into memory with what their gradients keep."""
        return max(1, min(MOST, MEMORY // (self.model.row_bytes + 16 * values)))


def load(path: Path, images: ImageSet, parameters: Parameters, device: str) -> Target:
    """The model at `path`, fitted to the data set. Raises InvalidUpload with every reason."""
    model, layout = _fitting(path, images.samples.shape[1:])
    scaling = _scaling(images, parameters, device)
    shape = model.output_shape
    if len(shape) != 2 or (shape[1] or 0) < 2:
        rule = "A classifier gives one row of at least 2 logits for each input."
        raise InvalidUpload([Reason(rule, f"output shape {shape}", "Export the model up to its logits.")])
    if images.classes > int(shape[1] or 0):
        rule = f"The data set has no class beyond the {shape[1]} that the model knows."
        raise InvalidUpload([Reason(rule, f"{images.classes} classes", "Choose the data set that the model is for.")])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return Target(model, layout, scaling, device).to(device)


def _fitting(path: Path, shape: tuple[int, ...]) -> tuple[onnx_models.OnnxModel, str]:
    """The model, and the way in which it takes images of the shape (C, H, W)."""
    channels, height, width = shape
    ways = {FIRST: shape, LAST: (height, width, channels), FLAT: (channels * height * width,)}
    refusals = []
    for layout, example in ways.items():
        try:
            return onnx_models.load(path, input_shape=example), layout
        except InvalidUpload as error:
            refusals.append(error)
    raise refusals[0]


def _scaling(images: ImageSet, parameters: Parameters, device: str) -> Scaling | None:
    chosen = parameters.scaling()
    if chosen is None:
        return None
    mean, std = chosen
    channels = images.samples.shape[1]
    if {len(mean), len(std)} - {1, channels}:
        rule = "Preprocessing has one mean and one std for each channel, or one for all."
        where = f"{len(mean)} and {len(std)} for {channels} channels"
        raise InvalidUpload([Reason(rule, where, "Choose other preprocessing.")])
    # ImageNet's numbers are those of images in [0, 1].
    width, low = (images.high - images.low, images.low) if parameters.preprocessing == "imagenet" else (1.0, 0.0)
    values = (torch.tensor(numbers, dtype=torch.float32, device=device).reshape(1, -1, 1, 1) for numbers in chosen)
    shift, scale = values
    return Scaling(low + width * shift, width * scale)
