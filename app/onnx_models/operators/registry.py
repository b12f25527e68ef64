"""What an operator is to the interpreter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.onnx_models.nodes import Node

Kernel = Callable[..., Any]
"""Tensors in (None for an input that is left out), a tensor or a tuple of tensors out; never changes what it is given.

A kernel raises Unsupported, or what torch raises, for inputs that it does not take.
"""


@dataclass(frozen=True)
class Operator:
    """An operator that the interpreter knows."""

    build: Callable[[Node], Kernel]
    """Makes the kernel of one node. Raises Unsupported for attributes that the kernel does not honour."""
    host: frozenset[int] = frozenset()
    """The inputs that are shapes, axes and other numbers which decide the size of the result.

    They must be known from the shape of the model's input alone: how much memory a model needs never depends on data.
    """
    statistics: frozenset[int] = frozenset()
    """The inputs that are weights, but not trained by gradients."""
    shape_only: bool = False
    """Whether only the shape of the input is looked at, not its values."""
    many: bool = False
    """Whether every output is computed, not the first one alone."""
    rebatched: Callable[[Kernel], Kernel] | None = None
    """Makes a kernel that takes many rows where the file has written one row into the graph; None if none does."""


def plain(kernel: Kernel, *host: int) -> Operator:
    """An operator without attributes that matter; `host` are its inputs that decide the size of the result."""
    return Operator(lambda node: kernel, frozenset(host))


def built(build: Callable[[Node], Kernel], *host: int) -> Operator:
    """An operator whose kernel depends on the node's attributes."""
    return Operator(build, frozenset(host))
