"""Exact gradients of every single record."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.func import grad, vmap

from app.training import memory
from app.training.losses import Loss, cross_entropy
from app.training.multilayer import Multilayer
from app.training.stack import Stack, Weights

Forward = Callable[[Weights, Tensor], Tensor]
"""(weights of one model, inputs (n, ...)) -> logits (n, K): a pure function, such as `Stack.forward`."""


def per_sample_gradients(
    forward: Forward,
    weights: Mapping[str, Tensor],
    x: Tensor,
    targets: Tensor,
    loss: Loss = cross_entropy,
    *,
    names: tuple[str, ...] = (),
    rows: int = 0,
) -> Iterator[tuple[slice, Weights]]:
    """Each record's gradient of its own loss by one model's weights: (places, name -> (b, ...)), chunk after chunk.

    `weights` are the tensors of one model, `names` those to differentiate by (all that take part in floating point by
    default), `targets` (n, ...) the labels. Chunks have `rows` records; 0 chooses what fits into memory.
    """
    wanted = names or tuple(name for name, tensor in weights.items() if tensor.is_floating_point())
    fixed = {name: tensor.detach() for name, tensor in weights.items() if name not in wanted}
    moving = {name: weights[name].detach() for name in wanted}

    def one(moving: Weights, x: Tensor, target: Tensor) -> Tensor:
        return loss(forward({**fixed, **moving}, x[None]), target[None], 0)

    each = vmap(grad(one), in_dims=(None, 0, 0))
    per_row = memory.OVERHEAD * memory.FLOAT * sum(tensor.numel() for tensor in moving.values())
    for part in memory.slices(len(x), rows or memory.rows_at_once(per_row, x.device)):
        yield part, each(moving, x[part], targets[part])


def gradient_norms(stack: Stack, x: Tensor, y: Tensor) -> Tensor:
    """(M, n, tensors or layers): the norms of each record's cross-entropy gradient by the parts of every model.

    For perceptrons a part is a layer, weight and bias together, in closed form; for other networks it is a tensor, in
    the order of the stack's parameters. The norm of the whole gradient is `.norm(dim=2)` of the result.
    """
    shape = Multilayer.of(stack.template)
    with torch.no_grad():
        found = [
            _of_any(stack, model, x, y) if shape is None else _of_multilayer(shape, stack, model, x, y)
            for model in range(len(stack))
        ]
    return torch.stack(found)


def _of_multilayer(shape: Multilayer, stack: Stack, model: int, x: Tensor, y: Tensor) -> Tensor:
    weights = {name: tensor[None] for name, tensor in stack.weights(model).items()}
    rows = memory.rows_at_once(memory.activations(stack.template, stack.weights(model), x), x.device)
    parts = memory.slices(len(x), rows)
    return torch.cat([shape.gradient_norms(weights, x[part][None], y[part][None])[0] for part in parts])


def _of_any(stack: Stack, model: int, x: Tensor, y: Tensor) -> Tensor:
    names = tuple(stack.parameters)
    chunks = per_sample_gradients(stack.forward, stack.weights(model), x, y, names=names)
    return torch.cat([torch.stack([slopes[name].flatten(1).norm(dim=1) for name in names], 1) for _, slopes in chunks])
