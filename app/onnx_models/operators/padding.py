"""Padding: with a constant, or with the tensor's own cells."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from app.onnx_models.complaints import Unsupported
from app.onnx_models.limits import MAX_LENGTH
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, Operator, built
from app.onnx_models.operators.shapes import numbers

MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def _pad(node: Node) -> Kernel:
    node.only("mode", "constant", *MODES)
    mode, fixed, fill = node.text("mode"), node.integers("pads"), node.real("value")

    def run(x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
        chosen = list(fixed or ()) if pads is None else numbers(pads)
        places = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in numbers(axes)]
        if len(chosen) != 2 * len(places) or max(map(abs, chosen), default=0) > MAX_LENGTH:
            raise Unsupported("there are not two pads for each axis, or one is very large")
        sides = {axis: (chosen[at], chosen[at + len(places)]) for at, axis in enumerate(places)}
        if mode == "constant":
            flat = [side for axis in reversed(range(x.ndim)) for side in sides.get(axis, (0, 0))]
            return functional.pad(x, flat, value=fill if value is None else value.reshape(-1)[0].item())
        return _repeat_cells(x, sides, mode)

    return run


def _repeat_cells(x: Tensor, sides: dict[int, tuple[int, int]], mode: str) -> Tensor:
    for axis, (before, after) in sides.items():
        if before or after:
            cells = np.arange(x.shape[axis])[max(0, -before) : x.shape[axis] - max(0, -after)]
            if cells.size == 0 or (mode == "reflect" and max(before, after) >= cells.size):
                raise Unsupported("there are fewer cells than the padding repeats")
            cells = _padded(cells, max(0, before), max(0, after), mode)
            x = x.index_select(axis, torch.from_numpy(cells).to(x.device))
    return x


def _padded(cells: np.ndarray, before: int, after: int, mode: str) -> np.ndarray:
    if mode == "edge":
        return np.pad(cells, (before, after), mode="edge")
    return np.pad(cells, (before, after), mode="reflect" if mode == "reflect" else "wrap")


OPERATORS: dict[str, Operator] = {"Pad": built(_pad, 1, 2, 3)}
