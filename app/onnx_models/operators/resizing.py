"""Resizing by nearest neighbours, linear and cubic interpolation, one axis after the other.

Every axis is resized by a matrix or by picking cells, made from the same formulas as the operator's definition. So
each mode of coordinates is exact, and the result has gradients.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, Operator, built
from app.onnx_models.operators.shapes import numbers

MODES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
)
LARGEST = 1 << 24
"""Cells of the matrix that resizes one axis."""


@dataclass(frozen=True)
class Rule:
    """How one node resizes."""

    mode: str
    coordinates: str
    rounding: str
    cubic: float
    drops_outside: bool


def _resize(node: Node) -> Kernel:
    node.only("antialias", 0)
    node.only("mode", "nearest", "linear", "cubic")
    node.only("coordinate_transformation_mode", *MODES)
    node.only("keep_aspect_ratio_policy", "stretch")
    axes = node.integers("axes")
    rule = Rule(
        node.text("mode"),
        node.text("coordinate_transformation_mode", "asymmetric"),
        node.text("nearest_mode", "simple"),
        node.real("cubic_coeff_a", -0.75),
        bool(node.integer("exclude_outside")),
    )

    def run(x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None) -> Tensor:
        factors = None if scales is None or scales.numel() == 0 else [float(scale) for scale in scales.tolist()]
        wanted = None if sizes is None or sizes.numel() == 0 else numbers(sizes)
        return _resized(x, list(axes or range(x.ndim)), factors, wanted, rule)

    if node.version < 11:
        return lambda x, scales: run(x, None, scales)
    return run


def _upsample(node: Node) -> Kernel:
    node.only("mode", "nearest", "linear")
    rule, fixed = Rule(node.text("mode"), "asymmetric", "simple", -0.75, False), node.attributes.get("scales")

    def run(x: Tensor, scales: Tensor | None = None) -> Tensor:
        factors = [float(scale) for scale in (fixed or ()) if scales is None] if scales is None else scales.tolist()
        return _resized(x, list(range(x.ndim)), factors, None, rule)

    return run


def _resized(x: Tensor, axes: list[int], factors: list[float] | None, sizes: list[int] | None, rule: Rule) -> Tensor:
    given = factors if factors is not None else sizes
    if given is None or len(given) != len(axes) or (factors is not None and sizes is not None):
        raise Unsupported("there is not one scale or one size for each axis")
    for place, axis in enumerate(axes):
        length = x.shape[axis]
        if factors is not None:
            scale = float(np.float32(factors[place]))
            if not 0 < scale <= LARGEST:
                raise Unsupported("a scale is not positive, or very large")
            size = math.floor(np.float32(length) * np.float32(scale))
        else:
            size = (sizes or [])[place]
            scale = size / length
        if not 0 < size <= LARGEST:
            raise Unsupported("a size is not positive, or very large")
        if size != length or scale != 1:
            x = _along(x, axis, length, size, scale, rule)
    return x


def _along(x: Tensor, axis: int, length: int, size: int, scale: float, rule: Rule) -> Tensor:
    if rule.mode == "nearest":
        return x.index_select(axis, _nearest(length, size, scale, rule).to(x.device))
    if length * size > LARGEST:
        raise Unsupported("an axis is too long to be interpolated")
    matrix = _weights(length, size, scale, rule).to(x)
    return (x.movedim(axis, -1) @ matrix).movedim(-1, axis)


def _origins(length: int, size: int, scale: float, coordinates: str) -> np.ndarray:
    """Where each cell of the result lies among the cells of the input, in single precision as onnxruntime has it."""
    cells, factor = np.arange(size, dtype=np.float32), np.float32(scale)
    if coordinates == "asymmetric":
        return cells / factor
    if coordinates == "align_corners":
        return cells * np.float32(length - 1) / np.float32(size - 1) if size > 1 else cells * 0
    if coordinates == "pytorch_half_pixel" and size <= 1:
        return cells * 0
    if coordinates == "tf_half_pixel_for_nn":
        return (cells + np.float32(0.5)) / factor
    origins = (cells + np.float32(0.5)) / factor - np.float32(0.5)
    if coordinates == "half_pixel_symmetric":
        adjustment = np.float32(size) / (factor * np.float32(length))
        origins = np.float32(length / 2) * (1 - adjustment) + origins
    return origins


@lru_cache(maxsize=256)
def _nearest(length: int, size: int, scale: float, rule: Rule) -> Tensor:
    origins = _origins(length, size, scale, rule.coordinates)
    if rule.rounding == "simple":
        cells = np.floor(origins) if scale >= 1 else np.ceil(origins)
    elif rule.rounding == "round_prefer_floor":
        cells = np.ceil(origins - np.float32(0.5))
    elif rule.rounding == "round_prefer_ceil":
        cells = np.floor(origins + np.float32(0.5))
    else:
        cells = np.floor(origins) if rule.rounding == "floor" else np.ceil(origins)
    return torch.from_numpy(np.clip(cells, 0, length - 1).astype(np.int64))


@lru_cache(maxsize=256)
def _weights(length: int, size: int, scale: float, rule: Rule) -> Tensor:
    """The matrix (length, size) whose columns say what each cell of the result is made of."""
    origins = _origins(length, size, scale, rule.coordinates)
    if rule.mode == "linear":
        origins = np.clip(origins, 0, length - 1)
        taps = np.array([0, 1])[:, None]
    else:
        taps = np.array([-1, 0, 1, 2])[:, None]
    first = np.floor(origins)
    share = origins - first
    shares = np.stack([1 - share, share]) if rule.mode == "linear" else _cubic(share, rule.cubic)
    cells = first.astype(np.int64) + taps
    if rule.mode == "cubic" and rule.drops_outside:
        shares = np.where((cells < 0) | (cells >= length), 0, shares)
        shares = shares / shares.sum(0)
    matrix = np.zeros((length, size))
    np.add.at(matrix, (np.clip(cells, 0, length - 1), np.arange(size)), shares)
    return torch.from_numpy(matrix.astype(np.float32))


def _cubic(t: np.ndarray, a: float) -> np.ndarray:
    """The four weights of cubic convolution (Keys, IEEE Transactions on Acoustics, 1981, equation 15) for slope a."""

    def near(d: np.ndarray) -> np.ndarray:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: np.ndarray) -> np.ndarray:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return np.stack([far(t + 1), near(t), near(1 - t), far(2 - t)])


OPERATORS: dict[str, Operator] = {"Resize": built(_resize, 1, 2, 3), "Upsample": built(_upsample, 1)}
