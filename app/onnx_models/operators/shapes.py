"""Operators that change the shape: the numbers that say how are known before any data is."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, Operator, built, plain


def numbers(tensor: Tensor) -> list[int]:
    """The whole numbers in a tensor of one axis."""
    if tensor.ndim > 1 or tensor.is_floating_point():
        raise Unsupported("a shape or a list of axes is not a list of whole numbers")
    return [int(number) for number in tensor.reshape(-1).tolist()]


def _reshape(node: Node) -> Kernel:
    allows_zero = bool(node.integer("allowzero"))

    def run(x: Tensor, shape: Tensor) -> Tensor:
        wanted = numbers(shape)
        if not allows_zero:
            wanted = [x.shape[place] if length == 0 else length for place, length in enumerate(wanted)]
        return x.reshape(wanted)

    return run


def _reshape_rows(kernel: Kernel) -> Kernel:
    """A shape that starts with one row is meant for all rows: exporters write the example's own shape."""

    def run(x: Tensor, shape: Tensor) -> Tensor:
        wanted = numbers(shape)
        is_one = wanted[:1] == [1] and x.shape[:1] != (1,)
        result: Tensor = kernel(x, torch.tensor([x.shape[0], *wanted[1:]]) if is_one else shape)
        return result

    return run


def _flatten(node: Node) -> Kernel:
    axis = node.integer("axis")

    def run(x: Tensor) -> Tensor:
        first = axis + x.ndim if axis < 0 else axis
        return x.reshape(math.prod(x.shape[:first]), math.prod(x.shape[first:]))

    return run


def _transpose(node: Node) -> Kernel:
    order = node.integers("perm")
    return lambda x: x.permute(order or tuple(reversed(range(x.ndim))))


def _squeeze(node: Node) -> Kernel:
    fixed = node.integers("axes")

    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = fixed if axes is None else numbers(axes)
        if chosen is None:
            return x.squeeze()
        if any(x.shape[axis] != 1 for axis in chosen):
            raise Unsupported("an axis to be squeezed is longer than 1")
        return x.squeeze(tuple(chosen))

    return run


def _unsqueeze(node: Node) -> Kernel:
    fixed = node.integers("axes")

    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = list(fixed or ()) if axes is None else numbers(axes)
        rank = x.ndim + len(chosen)
        for axis in sorted(axis + rank if axis < 0 else axis for axis in chosen):
            x = x.unsqueeze(axis)
        return x

    return run


def _concat(node: Node) -> Kernel:
    axis = node.integer("axis")
    return lambda *tensors: torch.cat(tensors, axis)


def _concat_rows(kernel: Kernel) -> Kernel:
    """A constant of one row beside many rows (a class token) is there for each of them."""

    def run(*tensors: Tensor) -> Tensor:
        rows = max(len(tensor) for tensor in tensors)
        spread = [tensor.expand(rows, *tensor.shape[1:]) if len(tensor) == 1 else tensor for tensor in tensors]
        result: Tensor = kernel(*spread)
        return result

    return run


def _split(node: Node) -> Kernel:
    axis, fixed, parts = node.integer("axis"), node.integers("split"), len(node.outputs)
    if node.integer("num_outputs", parts) != parts:
        raise Unsupported("num_outputs is not the number of outputs")

    def run(x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        length = x.shape[axis]
        chosen = list(fixed or ()) if sizes is None else numbers(sizes)
        if not chosen:
            part = -(-length // parts)
            chosen = [*[part] * (parts - 1), length - part * (parts - 1)]
        if len(chosen) != parts:
            raise Unsupported("there are more or fewer lengths than outputs")
        return torch.split(x, chosen, axis)

    return run


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, numbers(shape)))


def _tile(x: Tensor, repeats: Tensor) -> Tensor:
    times = numbers(repeats)
    if len(times) != x.ndim:
        raise Unsupported("there is not one repeat for each axis")
    return x.repeat(times)


def _shape(node: Node) -> Kernel:
    start, end = node.integer("start"), node.attributes.get("end")
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


def _size(x: Tensor) -> Tensor:
    return torch.tensor(x.numel())


def _depth_to_space(node: Node) -> Kernel:
    node.only("mode", "DCR", "CRD")
    block, columns_first = node.integer("blocksize"), node.text("mode", "DCR") == "CRD"
    if block < 1:
        raise Unsupported("the block is smaller than 1")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        deep = c // block**2
        parts = (n, deep, block, block, h, w) if columns_first else (n, block, block, deep, h, w)
        order = (0, 1, 4, 2, 5, 3) if columns_first else (0, 3, 4, 1, 5, 2)
        return x.reshape(parts).permute(order).reshape(n, deep, h * block, w * block)

    return run


def _space_to_depth(node: Node) -> Kernel:
    block = node.integer("blocksize")
    if block < 1:
        raise Unsupported("the block is smaller than 1")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block)
        return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)

    return run


OPERATORS: dict[str, Operator] = {
    "Concat": replace(built(_concat), rebatched=_concat_rows),
    "DepthToSpace": built(_depth_to_space),
    "Expand": plain(_expand, 1),
    "Flatten": built(_flatten),
    "Reshape": replace(built(_reshape, 1), rebatched=_reshape_rows),
    "Shape": replace(built(_shape), shape_only=True),
    "Size": replace(plain(_size), shape_only=True),
    "SpaceToDepth": built(_space_to_depth),
    "Split": replace(built(_split, 1), many=True),
    "Squeeze": built(_squeeze, 1),
    "Tile": plain(_tile, 1),
    "Transpose": built(_transpose),
    "Unsqueeze": built(_unsqueeze, 1),
}
