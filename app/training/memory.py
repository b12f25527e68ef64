"""How much is computed at a time, so that memory is bounded however many records and models there are."""

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

BUDGET = 256 << 20
"""Bytes that one chunk may take on a CPU."""
DEVICE_BUDGET = 4 << 30
"""The same on an accelerator."""
FLOAT = 4
OVERHEAD = 3
"""Activations of layers, of the functions between them, and their gradients, as multiples of the first."""


def budget(device: torch.device) -> int:
    """Bytes that one chunk may take on this device."""
    return BUDGET if device.type == "cpu" else DEVICE_BUDGET


def rows_at_once(bytes_per_row: int, device: torch.device) -> int:
    """How many rows fit into a chunk; at least one."""
    return max(1, budget(device) // max(1, bytes_per_row))


def slices(n: int, size: int) -> Iterator[slice]:
    """0..n in slices of `size`."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def activations(template: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> int:
    """Bytes that one record takes inside a model with these weights; `x` (n, ...) is an example of the inputs."""
    taken = [x[:1].numel()]

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            taken.append(output.numel())

    watched = copy.deepcopy(template)
    for module in watched.modules():
        module.register_forward_hook(note)
    with torch.no_grad():
        functional_call(watched, dict(weights), (x[:1],))
    return OVERHEAD * FLOAT * sum(taken)
