"""What all models say about common records."""

from collections.abc import Iterator

import torch
from torch import Tensor

from app.training import memory
from app.training.multilayer import Multilayer
from app.training.stack import Stack


def logits(stack: Stack, x: Tensor, is_own: bool = False) -> Tensor:
    """(M, n, K): the logits of every model for common inputs (n, ...), or own ones (M, n, ...) if `is_own`.

    Without gradients, in evaluation mode and in chunks of models and records; on the stack's device.
    """
    n = x.shape[1] if is_own else len(x)
    if not n or not len(stack):
        return stack(x, is_own)
    with torch.no_grad():
        per_row = memory.activations(stack.template, stack.weights(0), x[0] if is_own else x)
        rows = min(n, memory.rows_at_once(per_row, stack.device))
        models = memory.rows_at_once(per_row * rows, stack.device)
        found = [
            torch.cat(list(_of_some(stack.take(part), x[part] if is_own else x, is_own, rows)), dim=1)
            for part in memory.slices(len(stack), models)
        ]
    return torch.cat(found)


def log_probabilities(stack: Stack, x: Tensor, y: Tensor) -> Tensor:
    """(M, n): the log-probability that every model gives to the class `y` (n,) of every record `x` (n, ...)."""
    found = logits(stack, x)
    places = y.expand(len(stack), -1)[:, :, None]
    return found.gather(2, places)[:, :, 0] - found.logsumexp(2)


def _of_some(stack: Stack, x: Tensor, is_own: bool, rows: int) -> Iterator[Tensor]:
    """The logits (m, rows, K) of some models, chunk after chunk."""
    shape = Multilayer.of(stack.template)
    for part in memory.slices(x.shape[1] if is_own else len(x), rows):
        chunk = x[:, part] if is_own else x[part]
        if shape is None:
            yield stack(chunk, is_own)
        else:
            yield shape.forward(stack.tensors, chunk if is_own else chunk.expand(len(stack), *chunk.shape))[1]
