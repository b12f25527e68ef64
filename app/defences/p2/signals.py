"""What membership attacks measure, as functions that can be differentiated: confidence and gradient norm of records."""

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional

from app.training import Stack
from app.training.multilayer import Multilayer
from app.training.stack import Weights

TINY = 1e-12


def signals(stack: Stack, parameters: Weights, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The logits (M, B, K), and (M, B, 2): the probability of each record's class, and the norm of its gradient.

    `x` (M, B, ...) and `y` (M, B) are each model's own records, the gradient is that of the cross-entropy by all
    parameters. Both can be differentiated by the `parameters`, name -> (M, ...), so that a training can change what an
    attack will see. Probability and loss order records alike; probabilities are bounded, so that no record dominates.
    """
    shape = Multilayer.of(stack.template)
    if shape is None:
        logits = Stack(stack.template, parameters, stack.buffers)(x, is_own=True)
        squares = _squares(stack, parameters, x, y)
    else:
        inputs, logits = shape.forward(parameters, x)
        residual = logits.softmax(-1) - functional.one_hot(y, logits.shape[-1])
        slopes = shape.slopes(parameters, inputs, residual)
        squares = torch.stack(
            [
                slope.square().sum(-1) * (taken.square().sum(-1) + 1.0)
                for slope, taken in zip(slopes, inputs, strict=True)
            ]
        ).sum(0)
    own = logits.softmax(-1).gather(-1, y[..., None])[..., 0]
    return logits, torch.stack([own, (squares + TINY).sqrt()], dim=-1)


def _squares(stack: Stack, parameters: Weights, x: Tensor, y: Tensor) -> Tensor:
    """(M, B): the squared norms of the records' gradients, for any network."""

    def loss(parameters: Weights, buffers: Weights, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(stack.forward({**parameters, **buffers}, x[None]), y[None])

    def square(parameters: Weights, buffers: Weights, x: Tensor, y: Tensor) -> Tensor:
        slopes = grad(loss)(parameters, buffers, x, y)
        return torch.stack([slope.square().sum() for slope in slopes.values()]).sum()

    each = vmap(vmap(square, in_dims=(None, None, 0, 0)))
    squares: Tensor = each(parameters, stack.buffers, x, y)
    return squares
