"""Activation functions."""

import torch
from torch import Tensor
from torch.nn import functional

from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, built, plain


def _leaky_relu(node: Node) -> Kernel:
    alpha = node.real("alpha")
    return lambda x: functional.leaky_relu(x, alpha)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def _elu(node: Node) -> Kernel:
    alpha = node.real("alpha")
    return lambda x: functional.elu(x, alpha)


def _selu(node: Node) -> Kernel:
    alpha, gamma = node.real("alpha"), node.real("gamma")
    return lambda x: gamma * functional.elu(x, alpha)


def _celu(node: Node) -> Kernel:
    alpha = node.real("alpha")
    return lambda x: functional.celu(x, alpha)


def _gelu(node: Node) -> Kernel:
    node.only("approximate", "none", "tanh")
    approximate = node.text("approximate")
    return lambda x: functional.gelu(x, approximate=approximate)


def _hard_sigmoid(node: Node) -> Kernel:
    alpha, beta = node.real("alpha"), node.real("beta")
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


def _thresholded_relu(node: Node) -> Kernel:
    alpha = node.real("alpha")
    return lambda x: torch.where(x > alpha, x, 0.0)


def _shrink(node: Node) -> Kernel:
    bias, threshold = node.real("bias"), node.real("lambd")
    return lambda x: torch.where(x < -threshold, x + bias, torch.where(x > threshold, x - bias, 0.0))


def _swish(node: Node) -> Kernel:
    alpha = node.real("alpha")
    return lambda x: x * torch.sigmoid(alpha * x)


def _over_classes(kernel: Kernel) -> Kernel:
    """Softmax and its logarithm: before opset 13 over all axes from `axis` on, since then over `axis` alone."""

    def build(node: Node) -> Kernel:
        axis = node.integer("axis")
        if node.version >= 13:
            return lambda x: kernel(x, dim=axis)
        return lambda x: kernel(x.flatten(axis), dim=-1).reshape(x.shape)

    return build


OPERATORS = {
    "Celu": built(_celu),
    "Elu": built(_elu),
    "Gelu": built(_gelu),
    "HardSigmoid": built(_hard_sigmoid),
    "HardSwish": plain(functional.hardswish),
    "LeakyRelu": built(_leaky_relu),
    "LogSoftmax": built(_over_classes(torch.log_softmax)),
    "Mish": plain(functional.mish),
    "PRelu": plain(_prelu),
    "Relu": plain(torch.relu),
    "Selu": built(_selu),
    "Shrink": built(_shrink),
    "Sigmoid": plain(torch.sigmoid),
    "Softmax": built(_over_classes(torch.softmax)),
    "Softplus": plain(functional.softplus),
    "Softsign": plain(functional.softsign),
    "Swish": built(_swish),
    "Tanh": plain(torch.tanh),
    "ThresholdedRelu": built(_thresholded_relu),
}
