"""Quantised models: exact rounding forwards, and gradients that pass straight through it.

Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic neurons", 2013: the derivative of
rounding is taken as one. Quantised values stay floating-point numbers, so that gradients flow between two roundings.
"""

import torch
from torch import Tensor

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, Operator, built

BOUNDS = {
    torch.uint8: (0.0, 255.0),
    torch.int8: (-128.0, 127.0),
    torch.int16: (-32768.0, 32767.0),
    # Unsigned numbers of 16 bits are kept in 32; signed ones of 32 are no zero point of this operator.
    torch.int32: (0.0, 65535.0),
}


def _along(parameter: Tensor, x: Tensor, axis: int) -> Tensor:
    """One parameter for all of x, or one for each place of an axis."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    if parameter.ndim != 1 or parameter.shape[0] != x.shape[axis]:
        raise Unsupported("the scale fits neither the tensor nor its axis")
    shape = [1] * x.ndim
    shape[axis] = -1
    return parameter.reshape(shape)


def _quantise(node: Node) -> Kernel:
    node.only("block_size", 0)
    node.only("output_dtype", 0)
    node.only("precision", 0, 1)
    axis = node.integer("axis", 1)

    def run(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        low, high = BOUNDS[torch.uint8 if zero is None else zero.dtype]
        steps = x / _along(scale, x, axis)
        steps = steps + (steps.round() - steps).detach()
        return torch.clamp(steps if zero is None else steps + _along(zero, x, axis).to(x.dtype), low, high)

    return run


def _restore(node: Node) -> Kernel:
    node.only("block_size", 0)
    node.only("output_dtype", 0, 1)
    axis = node.integer("axis", 1)

    def run(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        values = x.to(scale.dtype)
        values = values if zero is None else values - _along(zero, x, axis).to(scale.dtype)
        return values * _along(scale, x, axis)

    return run


OPERATORS: dict[str, Operator] = {"DequantizeLinear": built(_restore), "QuantizeLinear": built(_quantise)}
