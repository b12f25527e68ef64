"""Poisoned gradients: the class under which a record's gradient points farthest from the true one."""

import torch
from torch import Tensor
from torch.func import vjp, vmap

from app.training import Stack, memory
from app.training.multilayer import Multilayer

TINY = 1e-30


def first_weight(stack: Stack) -> tuple[str, ...]:
    """The only tensor whose gradient the published code looks at."""
    return (next(iter(stack.parameters)),)


def cosines(stack: Stack, x: Tensor, y: Tensor, names: tuple[str, ...] = ()) -> Tensor:
    """(M, n, K): the cosine between each record's gradient under every class and the one under its class y.

    `x` (M, n, ...) and `y` (M, n) are each model's own records; gradients are those of the cross-entropy by the tensors
    in `names`, all by default. For perceptrons in closed form, otherwise by one backward pass for each class.
    """
    chosen = names or tuple(stack.parameters)
    if unknown := set(chosen) - set(stack.parameters):
        raise ValueError(f"the network has no parameters {', '.join(sorted(unknown))}")
    shape = Multilayer.of(stack.template)
    found = torch.empty(*y.shape, _classes(stack, x), device=x.device)
    size = _rows_at_once(stack, x, found.shape[-1], is_closed=shape is not None)
    with torch.no_grad():
        for model in range(len(stack)):
            own = {name: tensor[None] for name, tensor in stack.weights(model).items()}
            for part in memory.slices(y.shape[1], size):
                rows, labels = x[model, part], y[model, part]
                products = (
                    _of_any(stack, own, rows, labels, chosen)
                    if shape is None
                    else _of_multilayer(shape, own, rows, labels, chosen)
                )
                found[model, part] = _normalised(products, labels)
    return found


def farthest(cosines: Tensor, y: Tensor, predicted: Tensor) -> Tensor:
    """(...,): the class with the smallest cosine; -1 where it could only be the true or the predicted one.

    `cosines` (..., K), `y` and `predicted` (...,). The published code may choose the predicted class of a record that
    is misclassified, which makes the error more certain instead of hiding anything; here it may not.
    """
    open_classes = torch.ones_like(cosines, dtype=torch.bool)
    open_classes.scatter_(-1, y[..., None], False).scatter_(-1, predicted[..., None], False)
    aim = torch.where(open_classes, cosines, torch.inf).argmin(-1)
    return torch.where(open_classes.any(-1), aim, -1)


def _of_multilayer(
    shape: Multilayer, own: dict[str, Tensor], x: Tensor, y: Tensor, chosen: tuple[str, ...]
) -> tuple[Tensor, Tensor]:
    """(n, K) products of each class's gradient with the true one, and (n, K) squared norms.

    The gradient by a layer is the outer product of the layer's slope and its input, which all classes have in common:
    products of gradients are products of slopes times the input's squared norm.
    """
    inputs, logits = shape.forward(own, x[None])
    n, classes = logits.shape[1:]
    errors = (logits[0].softmax(-1)[:, None] - torch.eye(classes, device=x.device)).reshape(1, n * classes, classes)
    repeated = [taken.repeat_interleave(classes, dim=1) if place else taken for place, taken in enumerate(inputs)]
    products, norms = torch.zeros(n, classes, device=x.device), torch.zeros(n, classes, device=x.device)
    for (weight, bias), taken, slope in zip(shape.layers, inputs, shape.slopes(own, repeated, errors), strict=True):
        factor = (weight in chosen) * taken[0].square().sum(-1) + float(bias in chosen)
        each = slope.reshape(n, classes, -1)
        products += factor[:, None] * torch.einsum("nkw,nw->nk", each, each[torch.arange(n), y])
        norms += factor[:, None] * each.square().sum(-1)
    return products, norms


def _of_any(
    stack: Stack, own: dict[str, Tensor], x: Tensor, y: Tensor, chosen: tuple[str, ...]
) -> tuple[Tensor, Tensor]:
    """The same for any network: one backward pass for each record and class."""
    fixed = {name: tensor[0] for name, tensor in own.items() if name not in chosen}
    moving = {name: own[name][0] for name in chosen}

    def one(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits, pull, *_ = vjp(lambda moving: stack.forward({**fixed, **moving}, x[None])[0], moving)
        errors = logits.softmax(-1) - torch.eye(len(logits), device=x.device)
        (slopes,) = vmap(pull)(errors)
        flat = torch.cat([slope.flatten(1) for slope in slopes.values()], dim=1)
        return flat @ flat[y], flat.square().sum(-1)

    return vmap(one)(x, y)


def _normalised(found: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    """(n, K): cosines from products and squared norms; 0 where a gradient vanishes."""
    products, norms = found
    lengths = (norms * norms.gather(1, y[:, None])).clamp(min=TINY).sqrt()
    return torch.where(norms > 0, products / lengths, 0.0).clamp(-1.0, 1.0)


def _classes(stack: Stack, x: Tensor) -> int:
    return int(stack.take(slice(0, 1))(x[:1, :1], is_own=True).shape[-1])


def _rows_at_once(stack: Stack, x: Tensor, classes: int, is_closed: bool) -> int:
    """Records whose slopes, or whose gradients, under all classes fit into memory."""
    inside = memory.activations(stack.template, stack.weights(0), x[0])
    each = inside if is_closed else inside + memory.OVERHEAD * memory.FLOAT * stack.size
    return memory.rows_at_once(classes * each, x.device)
