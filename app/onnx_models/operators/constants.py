"""Constants, conversions and what changes nothing after training."""

import math

import torch
from torch import Tensor

from app.onnx_models import tensors
from app.onnx_models.complaints import Unsupported
from app.onnx_models.limits import MAX_ELEMENTS
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, Operator, built, plain
from app.onnx_models.operators.shapes import numbers


def _constant(node: Node) -> Kernel:
    given = [name for name in node.attributes if name.startswith("value")]
    if len(given) != 1 or len(node.attributes) != 1:
        raise Unsupported("a constant has exactly one value, of numbers")
    value = node.attributes[given[0]]
    if isinstance(value, str):
        raise Unsupported("texts are not supported")
    if not isinstance(value, Tensor):
        value = torch.tensor(value, dtype=torch.float32 if "float" in given[0] else torch.int64)
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise Unsupported("it holds NaN or infinity")
    return lambda: value


def _constant_of_shape(node: Node) -> Kernel:
    value = node.tensor("value")
    value = torch.zeros(1) if value is None else value
    if value.numel() != 1:
        raise Unsupported("the value is not a single number")

    def run(shape: Tensor) -> Tensor:
        wanted = numbers(shape)
        if min(wanted, default=0) < 0 or math.prod(wanted) > MAX_ELEMENTS:
            raise Unsupported(f"the shape {wanted[:8]} is negative or has more than {MAX_ELEMENTS:,} elements")
        # A copy in memory of its own, since a view of one number would make every later sum of it a surprise.
        return torch.full(wanted, value.item(), dtype=value.dtype)

    return run


def _range(start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    first, last, by = (tensor.reshape(-1)[0].item() for tensor in (start, limit, step))
    if by == 0 or not math.isfinite(last - first) or abs(last - first) / abs(by) > MAX_ELEMENTS:
        raise Unsupported(f"the range has more than {MAX_ELEMENTS:,} elements")
    count = max(0, math.ceil((last - first) / by))
    return torch.arange(count, dtype=start.dtype) * by + first


def _convert(x: Tensor, kind: torch.dtype) -> Tensor:
    if kind.is_floating_point:
        # There is one floating type, the module's: a change of precision changes nothing.
        return x if x.is_floating_point() else x.float()
    return x != 0 if kind is torch.bool else x.to(kind)


def _cast(node: Node) -> Kernel:
    kind = tensors.element_type(node.integer("to")).torch
    return lambda x: _convert(x, kind)


def _cast_like(x: Tensor, other: Tensor) -> Tensor:
    return _convert(x, other.dtype)


def _dropout(x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None) -> Tensor:
    if training is not None and bool(training.reshape(-1)[0].item()):
        raise Unsupported("the model was exported in training mode")
    return x


def _identity(x: Tensor) -> Tensor:
    return x


OPERATORS: dict[str, Operator] = {
    "Cast": built(_cast),
    "CastLike": plain(_cast_like),
    "Constant": built(_constant),
    "ConstantOfShape": built(_constant_of_shape, 0),
    "Dropout": plain(_dropout, 1, 2),
    "Identity": plain(_identity),
    "Range": plain(_range, 0, 1, 2),
}
