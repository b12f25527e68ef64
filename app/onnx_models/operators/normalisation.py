"""Normalisation, as it is after training: with stored statistics, or over each input's own axes."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, built


def _batch_norm(node: Node) -> Kernel:
    # A spatial of 0 (opset 7) has statistics of another shape; training would mix the inputs of a batch.
    node.only("spatial", 1)
    node.only("training_mode", 0)
    epsilon = node.real("epsilon")

    def run(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, epsilon)

    return run


def _standardised(x: Tensor, axes: list[int], epsilon: float) -> Tensor:
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + epsilon)


def _instance_norm(node: Node) -> Kernel:
    epsilon = node.real("epsilon")

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        shape = (-1, *(1,) * (x.ndim - 2))
        return _standardised(x, list(range(2, x.ndim)), epsilon) * weight.reshape(shape) + bias.reshape(shape)

    return run


def _layer_norm(node: Node) -> Kernel:
    axis, epsilon = node.integer("axis"), node.real("epsilon")
    node.only("stash_type", 1)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        first = _axis(axis, x)
        if weight.shape == x.shape[first:] and (bias is None or bias.shape == weight.shape):
            return functional.layer_norm(x, weight.shape, weight, bias, epsilon)
        result = _standardised(x, list(range(first, x.ndim)), epsilon) * weight
        return result if bias is None else result + bias

    return run


def _axis(axis: int, x: Tensor) -> int:
    if not -x.ndim <= axis < x.ndim:
        raise Unsupported(f"there is no axis {axis}")
    return axis % x.ndim


def _rms_norm(node: Node) -> Kernel:
    axis, epsilon = node.integer("axis"), node.real("epsilon")
    node.only("stash_type", 1)

    def run(x: Tensor, weight: Tensor) -> Tensor:
        axes = list(range(_axis(axis, x), x.ndim))
        return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon) * weight

    return run


def _group_norm(node: Node) -> Kernel:
    groups, epsilon = node.integer("num_groups"), node.real("epsilon")
    node.only("stash_type", 1)

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if node.version < 21:
            # Until opset 20 there is one weight for each group.
            times = x.shape[1] // groups
            weight, bias = weight.repeat_interleave(times), bias.repeat_interleave(times)
        return functional.group_norm(x, groups, weight, bias, epsilon)

    return run


def _local_response_norm(node: Node) -> Kernel:
    size, alpha, beta, bias = node.integer("size"), node.real("alpha"), node.real("beta"), node.real("bias")
    if not 1 <= size <= 4096 or size % 2 == 0:
        raise Unsupported("the size is not an odd number from 1 to 4,095")

    def run(x: Tensor) -> Tensor:
        squares = x.square().reshape(x.shape[0], 1, x.shape[1], -1)
        squares = functional.pad(squares, [0, 0, (size - 1) // 2, size // 2])
        return x / (bias + alpha * functional.avg_pool2d(squares, (size, 1), 1).reshape(x.shape)) ** beta

    return run


def _lp_norm(node: Node) -> Kernel:
    node.only("p", 1, 2)
    axis, p = node.integer("axis"), node.integer("p")

    def run(x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
        return x / torch.where(norm == 0, 1.0, norm)

    return run


OPERATORS = {
    "BatchNormalization": replace(built(_batch_norm), statistics=frozenset({3, 4})),
    "GroupNormalization": built(_group_norm),
    "InstanceNormalization": built(_instance_norm),
    "LRN": built(_local_response_norm),
    "LayerNormalization": built(_layer_norm),
    "LpNormalization": built(_lp_norm),
    "RMSNormalization": built(_rms_norm),
}
