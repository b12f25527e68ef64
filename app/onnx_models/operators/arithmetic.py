"""Operators that work on each element: arithmetic, comparison, logic."""

from functools import reduce

import torch
from torch import Tensor

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, built, plain


def _divide(a: Tensor, b: Tensor) -> Tensor:
    # Whole numbers are divided as in C: towards zero.
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    return torch.pow(base, exponent).to(base.dtype)


def _mod(node: Node) -> Kernel:
    return torch.fmod if node.integer("fmod") else torch.remainder


def _clip(node: Node) -> Kernel:
    if node.version < 11:
        low, high = node.real("min"), node.real("max")
        return lambda x: torch.clamp(x, low, high)
    return _clip_by_inputs


def _clip_by_inputs(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _is_infinite(node: Node) -> Kernel:
    negative, positive = bool(node.integer("detect_negative")), bool(node.integer("detect_positive"))
    return lambda x: (torch.isposinf(x) & positive) | (torch.isneginf(x) & negative)


def _maximum(*tensors: Tensor) -> Tensor:
    return reduce(torch.maximum, tensors)


def _minimum(*tensors: Tensor) -> Tensor:
    return reduce(torch.minimum, tensors)


def _sum(*tensors: Tensor) -> Tensor:
    return reduce(torch.add, tensors)


def _mean(*tensors: Tensor) -> Tensor:
    return _sum(*tensors) / len(tensors)


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition.bool(), a, b)


def _both(a: Tensor, b: Tensor) -> None:
    if a.dtype != b.dtype and a.is_floating_point() != b.is_floating_point():
        raise Unsupported("numbers of two types are mixed")


def _checked(kernel: Kernel) -> Kernel:
    def run(a: Tensor, b: Tensor) -> Tensor:
        if a.dtype != b.dtype:
            _both(a, b)
        result: Tensor = kernel(a, b)
        return result

    return run


OPERATORS = {
    "Abs": plain(torch.abs),
    "Acos": plain(torch.acos),
    "Acosh": plain(torch.acosh),
    "Add": plain(_checked(torch.add)),
    "And": plain(torch.logical_and),
    "Asin": plain(torch.asin),
    "Asinh": plain(torch.asinh),
    "Atan": plain(torch.atan),
    "Atanh": plain(torch.atanh),
    "Ceil": plain(torch.ceil),
    "Clip": built(_clip),
    "Cos": plain(torch.cos),
    "Cosh": plain(torch.cosh),
    "Div": plain(_checked(_divide)),
    "Equal": plain(torch.eq),
    "Erf": plain(torch.erf),
    "Exp": plain(torch.exp),
    "Floor": plain(torch.floor),
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "IsInf": built(_is_infinite),
    "IsNaN": plain(torch.isnan),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Log": plain(torch.log),
    "Max": plain(_maximum),
    "Mean": plain(_mean),
    "Min": plain(_minimum),
    "Mod": built(_mod),
    "Mul": plain(_checked(torch.mul)),
    "Neg": plain(torch.neg),
    "Not": plain(torch.logical_not),
    "Or": plain(torch.logical_or),
    "Pow": plain(_power),
    "Reciprocal": plain(torch.reciprocal),
    "Round": plain(torch.round),
    "Sign": plain(torch.sign),
    "Sin": plain(torch.sin),
    "Sinh": plain(torch.sinh),
    "Sqrt": plain(torch.sqrt),
    "Sub": plain(_checked(torch.sub)),
    "Sum": plain(_sum),
    "Tan": plain(torch.tan),
    "Where": plain(_where),
    "Xor": plain(torch.logical_xor),
}
