"""Measures what a computation would take, by running it on tensors without memory."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from app.onnx_models.complaints import Unsupported

COMPUTING_FAILED = (
    Unsupported,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)
"""What torch and the kernels raise for tensors that do not fit together."""


def _inner(place: int) -> Callable[[tuple[Any, ...], int], int]:
    return lambda arguments, cells: cells * int(arguments[place].shape[-1])


def _convolution(arguments: tuple[Any, ...], cells: int) -> int:
    x, weight, is_transposed = arguments[0], arguments[1], bool(arguments[6])
    return int((x.numel() if is_transposed else cells) * weight.numel() // max(1, weight.shape[0]))


def _window(arguments: tuple[Any, ...], cells: int) -> int:
    return cells * math.prod(arguments[1])


COSTS: dict[str, Callable[[tuple[Any, ...], int], int]] = {
    "aten::convolution": _convolution,
    "aten::mm": _inner(0),
    "aten::bmm": _inner(0),
    "aten::addmm": _inner(1),
    "aten::baddbmm": _inner(1),
    "aten::max_pool1d": _window,
    "aten::avg_pool1d": _window,
    "aten::max_pool2d_with_indices": _window,
    "aten::avg_pool2d": _window,
    "aten::max_pool3d_with_indices": _window,
    "aten::avg_pool3d": _window,
}
"""Operations for a result of so many cells; every other function costs one for each cell."""


class Meter(TorchDispatchMode):
    """Counts the bytes and the operations of everything that torch does while it is entered.

    It sees the insides of every kernel, too, so that no intermediate result escapes. Raises Unsupported when one
    tensor or all of them together take too much.
    """

    def __init__(self, tensor_bytes: int, total_bytes: int, operations: int) -> None:
        super().__init__()
        self.bytes = self.operations = 0
        self._limits = (tensor_bytes, total_bytes, operations)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one of torch's functions, and count what it gives."""
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._count(tensor, func._schema.name, args)
        return result

    def _count(self, tensor: Tensor, name: str, arguments: tuple[Any, ...]) -> None:
        tensor_bytes, total_bytes, operations = self._limits
        size, cost = tensor.numel() * tensor.element_size(), COSTS.get(name)
        self.operations += cost(arguments, tensor.numel()) if cost else tensor.numel()
        # Views share their memory, but what is expanded is soon written out.
        self.bytes += size
        if size > tensor_bytes:
            raise Unsupported(f"a result of {size / 1e6:,.0f} MB is more than {tensor_bytes / 1e6:,.0f} MB")
        if self.bytes > total_bytes:
            raise Unsupported(f"all results together need more than {total_bytes / 1e6:,.0f} MB")
        if self.operations > operations:
            raise Unsupported(f"it takes more than {operations / 1e9:,.0f} billion operations")


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, tuple | list):
        for part in result:
            yield from _tensors(part)


def without_memory(tensor: Tensor) -> Tensor:
    """A tensor of the same shape and type that holds nothing."""
    return torch.empty_like(tensor, device="meta", requires_grad=False)
