"""Operators that reduce axes to one value."""

import torch
from torch import Tensor

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, Operator, built
from app.onnx_models.operators.shapes import numbers

AS_IS = {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"}
"""Without an axis these leave a value as it is; onnxruntime and ONNX differ about the others."""


def _prod(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.mean(axes, keepdim=keep)


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keepdim=keep, dtype=x.dtype)


def _norm(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.linalg.vector_norm(x, 2, axes, keepdim=keep)


def _log_sum_exp(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.logsumexp(x, axes, keepdim=keep)


def _reduction(kernel: Kernel) -> Operator:
    def build(node: Node) -> Kernel:
        fixed, keep = node.integers("axes"), bool(node.integer("keepdims"))
        is_optional = bool(node.integer("noop_with_empty_axes"))

        def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
            chosen = list(fixed or ()) if axes is None else numbers(axes)
            if not chosen and is_optional:
                if node.operator not in AS_IS:
                    raise Unsupported("noop_with_empty_axes is not supported here")
                return x
            chosen = chosen or list(range(x.ndim))
            result: Tensor = kernel(x, chosen, keep) if x.ndim else x
            return result

        return run

    return built(build, 1)


def _arg(largest: bool) -> Operator:
    def build(node: Node) -> Kernel:
        axis, keep, takes_last = node.integer("axis"), bool(node.integer("keepdims")), node.integer("select_last_index")
        kernel = torch.argmax if largest else torch.argmin

        def run(x: Tensor) -> Tensor:
            if takes_last:
                return x.shape[axis] - 1 - kernel(x.flip(axis), axis, keepdim=keep)
            return kernel(x, axis, keepdim=keep)

        return run

    return built(build)


OPERATORS: dict[str, Operator] = {
    "ArgMax": _arg(largest=True),
    "ArgMin": _arg(largest=False),
    "ReduceL1": _reduction(lambda x, axes, keep: _sum(x.abs(), axes, keep)),
    "ReduceL2": _reduction(_norm),
    "ReduceLogSum": _reduction(lambda x, axes, keep: _sum(x, axes, keep).log()),
    "ReduceLogSumExp": _reduction(_log_sum_exp),
    "ReduceMax": _reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "ReduceProd": _reduction(_prod),
    "ReduceSum": _reduction(_sum),
    "ReduceSumSquare": _reduction(lambda x, axes, keep: _sum(x.square(), axes, keep)),
}
