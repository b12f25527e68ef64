"""Convolutions and products of matrices."""

import re

import torch
from torch import Tensor
from torch.nn import functional

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, built, plain
from app.onnx_models.operators.windows import Geometry, Window

CONVOLUTIONS: tuple[Kernel, ...] = (functional.conv1d, functional.conv2d, functional.conv3d)
TRANSPOSED: tuple[Kernel, ...] = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
EQUATION = re.compile(r"[A-Za-z. ]*(,[A-Za-z. ]*){0,3}(->[A-Za-z. ]*)?")


def _convolution(node: Node) -> Kernel:
    window, group = Window.of(node), node.integer("group")

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        geometry = window.over(x.shape[2:], weight.shape[2:])
        padding: tuple[int, ...] = geometry.before
        if not geometry.is_symmetric:
            x, padding = functional.pad(x, geometry.flat), (0,) * len(padding)
        kernel = CONVOLUTIONS[len(padding) - 1]
        result: Tensor = kernel(x, weight, bias, geometry.strides, padding, geometry.dilations, group)
        return result

    return run


def _transposed_convolution(node: Node) -> Kernel:
    window, group = Window.of(node), node.integer("group")
    more, shape = node.integers("output_padding"), node.integers("output_shape")

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        geometry = window.over(x.shape[2:], weight.shape[2:])
        rank = len(geometry.kernel)
        added = more or (0,) * rank
        if len(added) != rank or min(added) < 0:
            raise Unsupported("output_padding has a wrong length or is negative")
        full = TRANSPOSED[rank - 1](x, weight, None, geometry.strides, 0, 0, group, geometry.dilations)
        cut = _cut(window, geometry, x.shape[2:], full.shape[2:], added, shape)
        result: Tensor = functional.pad(full, cut)
        return result if bias is None else result + bias.reshape(-1, *(1,) * rank)

    return run


def _cut(
    window: Window,
    geometry: Geometry,
    sizes: tuple[int, ...],
    full: tuple[int, ...],
    added: tuple[int, ...],
    shape: tuple[int, ...] | None,
) -> list[int]:
    """How much the full result grows (negative: is cut) on each side, as torch wants it."""
    before, after = geometry.before, geometry.after
    if shape is not None or window.auto_pad.startswith("SAME"):
        wanted = shape or tuple(n * s for n, s in zip(sizes, geometry.strides, strict=True))
        if len(wanted) != len(full):
            raise Unsupported("output_shape has a wrong length")
        totals = [length + more - want for length, more, want in zip(full, added, wanted, strict=True)]
        if min(totals) < 0:
            raise Unsupported("output_shape is larger than what the convolution gives")
        halves, rest = [total // 2 for total in totals], [total - total // 2 for total in totals]
        is_upper = window.auto_pad == "SAME_UPPER"
        before, after = (tuple(halves), tuple(rest)) if is_upper else (tuple(rest), tuple(halves))
    ends = [more - end for more, end in zip(added, after, strict=True)]
    return [side for pair in reversed(list(zip([-begin for begin in before], ends, strict=True))) for side in pair]


def _gemm(node: Node) -> Kernel:
    alpha, beta = node.real("alpha"), node.real("beta")
    flip_a, flip_b = node.integer("transA"), node.integer("transB")

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        if a.ndim != 2 or b.ndim != 2:
            raise Unsupported("the product is not one of two matrices")
        product = (a.t() if flip_a else a) @ (b.t() if flip_b else b)
        product = product if alpha == 1 else alpha * product
        return product if c is None else product + (c if beta == 1 else beta * c)

    def linear(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        # The common layer in one step, which is what torch itself runs.
        is_layer = a.ndim == 2 and b.ndim == 2 and c is not None and c.shape == b.shape[: 1 if flip_b else 2][-1:]
        return functional.linear(a, b if flip_b else b.t(), c) if is_layer else run(a, b, c)

    return run if flip_a or alpha != 1 or beta != 1 else linear


def _einsum(node: Node) -> Kernel:
    equation = node.text("equation")
    if not EQUATION.fullmatch(equation):
        raise Unsupported("the equation has more than four terms or is none")
    return lambda *tensors: torch.einsum(equation, *tensors)


OPERATORS = {
    "Conv": built(_convolution),
    "ConvTranspose": built(_transposed_convolution),
    "Einsum": built(_einsum),
    "Gemm": built(_gemm),
    "MatMul": plain(torch.matmul),
}
