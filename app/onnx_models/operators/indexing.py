"""Operators that pick elements out of a tensor, or put them into one."""

from typing import Any

import torch
from torch import Tensor

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, Operator, built
from app.onnx_models.operators.shapes import numbers

FAR = 1 << 62


def _from_start(indices: Tensor, length: int) -> Tensor:
    """Indices counted from the start.

    On an accelerator an index that is out of range would end the process; there it is moved into range. The CPU, on
    which every model is run first, raises IndexError.
    """
    if indices.is_floating_point():
        raise Unsupported("an index is no whole number")
    indices = torch.where(indices < 0, indices + length, indices)
    return indices if indices.device.type == "cpu" else indices.clamp(0, length - 1)


def _gather(node: Node) -> Kernel:
    axis = node.integer("axis")

    def run(x: Tensor, indices: Tensor) -> Tensor:
        place = axis + x.ndim if axis < 0 else axis
        picked = x.index_select(place, _from_start(indices, x.shape[place]).reshape(-1))
        return picked.reshape([*x.shape[:place], *indices.shape, *x.shape[place + 1 :]])

    return run


def _gather_elements(node: Node) -> Kernel:
    axis = node.integer("axis")
    return lambda x, indices: x.gather(axis, _from_start(indices, x.shape[axis]).long())


def _points(x: Tensor, indices: Tensor) -> tuple[Tensor, ...]:
    """The last axis of `indices` as one index for each of the first axes of x."""
    columns = indices.unbind(-1)
    return tuple(_from_start(column, x.shape[axis]).long() for axis, column in enumerate(columns))


def _gather_nd(node: Node) -> Kernel:
    node.only("batch_dims", 0)
    return lambda x, indices: x[_points(x, indices)]


def _scatter_nd(node: Node) -> Kernel:
    node.only("reduction", "none")
    return lambda x, indices, updates: x.index_put(_points(x, indices), updates)


def _slice(node: Node) -> Kernel:
    if node.version < 10:
        starts, ends, axes = node.integers("starts") or (), node.integers("ends") or (), node.integers("axes")
        return lambda x: _cut(x, list(starts), list(ends), None if axes is None else list(axes), None)

    def run(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
        lists = [None if tensor is None else numbers(tensor) for tensor in (axes, steps)]
        return _cut(x, numbers(starts), numbers(ends), *lists)

    return run


def _cut(x: Tensor, starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None) -> Tensor:
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) <= x.ndim or 0 in steps:
        raise Unsupported("starts, ends, axes and steps are not equally many, or a step is 0")
    places: list[Any] = [slice(None)] * x.ndim
    flipped = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen = range(x.shape[axis])[max(start, -FAR) : max(end, -FAR) : step]
        if step < 0 and chosen:
            # Torch has no negative steps: the same cells are taken in rising order and turned round.
            flipped.append(axis)
            chosen = chosen[::-1]
        places[axis] = slice(chosen[0], chosen[-1] + 1, abs(step)) if chosen else slice(0, 0)
    cut = x[tuple(places)]
    return cut.flip(flipped) if flipped else cut


def _cumulative_sum(node: Node) -> Kernel:
    exclusive, reverse = node.integer("exclusive"), node.integer("reverse")

    def run(x: Tensor, axis: Tensor) -> Tensor:
        [place] = numbers(axis)
        values = x.flip(place) if reverse else x
        sums = values.cumsum(place, dtype=x.dtype)
        sums = sums - values if exclusive else sums
        return sums.flip(place) if reverse else sums

    return run


def _triangle(node: Node) -> Kernel:
    kernel = torch.triu if node.integer("upper") else torch.tril

    def run(x: Tensor, diagonal: Tensor | None = None) -> Tensor:
        [k] = [0] if diagonal is None else numbers(diagonal)
        return kernel(x, k)

    return run


def _one_hot(node: Node) -> Kernel:
    axis = node.integer("axis")

    def run(indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        [classes] = [int(number) for number in depth.reshape(-1).tolist()]
        if not 0 < classes <= 1 << 16:
            raise Unsupported("the depth is not from 1 to 65,536")
        places = torch.arange(classes, device=indices.device)
        hot = torch.where(indices < 0, indices + classes, indices).unsqueeze(-1) == places
        picked = torch.where(hot, values[1], values[0])
        return picked if axis == -1 else picked.movedim(-1, axis)

    return run


OPERATORS: dict[str, Operator] = {
    "CumSum": built(_cumulative_sum, 1),
    "Gather": built(_gather),
    "GatherElements": built(_gather_elements),
    "GatherND": built(_gather_nd),
    "OneHot": built(_one_hot, 1),
    "ScatterND": built(_scatter_nd),
    "Slice": built(_slice, 1, 2, 3, 4),
    "Trilu": built(_triangle, 1),
}
