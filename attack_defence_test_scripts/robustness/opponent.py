"""An opponent's ONNX file as a torch module, so that there are gradients. Needs torch, numpy and onnx.

It knows the operators of plain convolutional networks. If an opponent uses another one, add it to OPERATORS: each is a
function of the node's inputs and attributes, as https://onnx.ai/onnx/operators/ defines it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional


def gemm(
    a: Tensor, b: Tensor, c: Tensor | float = 0.0, *, alpha: float = 1.0, beta: float = 1.0, **transposed: int
) -> Tensor:
    """A dense layer."""
    return alpha * (a.T if transposed.get("transA") else a) @ (b.T if transposed.get("transB") else b) + beta * c


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None = None, **more: Any) -> Tensor:
    """A convolution of images."""
    strides, dilations = more.get("strides", (1, 1)), more.get("dilations", (1, 1))
    return functional.conv2d(padded(x, more), weight, bias, tuple(strides), 0, tuple(dilations), more.get("group", 1))


def max_pool(x: Tensor, *, kernel_shape: Sequence[int], **more: Any) -> Tensor:
    """The largest value of each window."""
    return functional.max_pool2d(padded(x, more, -torch.inf), tuple(kernel_shape), tuple(more.get("strides", (1, 1))))


def padded(x: Tensor, more: Mapping[str, Any], value: float = 0.0) -> Tensor:
    """Images with the border that the attribute pads asks for."""
    top, left, bottom, right = more.get("pads", (0, 0, 0, 0))
    return functional.pad(x, (left, right, top, bottom), value=value)


def average_pool(x: Tensor, *, kernel_shape: Sequence[int], strides: Sequence[int] = (1, 1), **_: Any) -> Tensor:
    """The mean of each window; without padding."""
    return functional.avg_pool2d(x, tuple(kernel_shape), tuple(strides))


def batch_norm(x: Tensor, *statistics: Tensor, epsilon: float = 1e-5, **_: Any) -> Tensor:
    """Normalisation by stored statistics."""
    scale, shift, mean, variance = statistics
    return functional.batch_norm(x, mean, variance, scale, shift, eps=epsilon)


def reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    """Another shape; 0 keeps a length."""
    wanted = [int(length) for length in shape]
    return x.reshape(
        [x.shape[place] if length == 0 and not allowzero else length for place, length in enumerate(wanted)]
    )


OPERATORS = {
    "Add": lambda a, b: a + b,
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Constant": lambda *, value: torch.from_numpy(numpy_helper.to_array(value).copy()),
    "Conv": convolution,
    "Div": lambda a, b: a / b,
    "Dropout": lambda x, *_, **__: x,
    "Elu": lambda x, *, alpha=1.0: functional.elu(x, alpha),
    "Flatten": lambda x, *, axis=1: x.flatten(axis),
    "Gelu": lambda x, *, approximate=b"none": functional.gelu(x, approximate=approximate.decode()),
    "Gemm": gemm,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "Identity": lambda x: x,
    "LeakyRelu": lambda x, *, alpha=0.01: functional.leaky_relu(x, alpha),
    "LogSoftmax": lambda x, *, axis=-1: x.log_softmax(axis),
    "MatMul": lambda a, b: a @ b,
    "MaxPool": max_pool,
    "Mul": lambda a, b: a * b,
    "Relu": torch.relu,
    "Reshape": reshape,
    "Sigmoid": torch.sigmoid,
    "Softmax": lambda x, *, axis=-1: x.log_softmax(
        axis
    ),  # The same order of classes, with a gradient that does not vanish.
    "Sub": lambda a, b: a - b,
    "Tanh": torch.tanh,
    "Transpose": lambda x, *, perm: x.permute(tuple(perm)),
}


class Opponent(nn.Module):
    """Images (n, C, H, W) to scores (n, classes), as the file computes them."""

    def __init__(self, path: Path) -> None:
        """Read the file; names every operator that is not known."""
        super().__init__()
        graph = onnx.load(str(path), load_external_data=False).graph
        self.nodes, self.output = list(graph.node), graph.output[0].name
        self.weights = {one.name: torch.from_numpy(np.array(numpy_helper.to_array(one))) for one in graph.initializer}
        given = next(one for one in graph.input if one.name not in self.weights)
        self.input, self.is_flat = given.name, len(given.type.tensor_type.shape.dim) == 2
        if missing := {node.op_type for node in self.nodes} - set(OPERATORS):
            raise ValueError(f"{path} uses {', '.join(sorted(missing))}: add them to OPERATORS in opponent.py.")

    def forward(self, x: Tensor) -> Tensor:
        """One operator after the other."""
        values = {**self.weights, self.input: x.flatten(1) if self.is_flat else x}
        for node in self.nodes:
            attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            values[node.output[0]] = OPERATORS[node.op_type](
                *(values[name] for name in node.input if name), **attributes
            )
        return values[self.output]
