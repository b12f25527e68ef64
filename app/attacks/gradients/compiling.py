"""Functions of tensors that are compiled where that is possible, and stay as they are where it is not."""

import logging
import shutil
from collections.abc import Callable
from typing import Any

import torch

log = logging.getLogger(__name__)
SHAPES = 64
"""Shapes and networks that one function is compiled for before it stays as it is for further ones."""


def can_compile() -> bool:
    """Whether there is a C++ compiler, which compiling for the processor needs."""
    return any(shutil.which(name) for name in ("c++", "g++", "clang++"))


class Compiled:
    """A function that is compiled when it is first called; where that fails it is called as it is, then and later."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Of tensors, in any nesting of tuples and dictionaries; nothing is compiled yet."""
        self._plain = function
        self._fast: Callable[..., Any] | None = None
        if can_compile():
            self._fast = torch.compile(function, dynamic=False, recompile_limit=SHAPES)  # type: ignore[call-overload]

    def __call__(self, *given: Any) -> Any:
        """What the function gives."""
        if self._fast is not None:
            # The compiler takes a second to load, which only those wait for who use it.
            from torch._dynamo.exc import TorchDynamoException

            try:
                return self._fast(*given)
            except TorchDynamoException as error:
                log.warning("going on without compiling: %s", error)
                self._fast = None
        return self._plain(*given)
