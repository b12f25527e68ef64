"""Perceptrons as batched matrix products, with a backward pass written by hand."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

VECTOR = 16
"""Numbers in a vector register."""


@dataclass(frozen=True)
class Multilayer:
    """Linear layers with ReLU between them, told by the names of their tensors."""

    layers: tuple[tuple[str, str], ...]
    """(weight (M, out, in), bias (M, out)) of each layer, first to last."""

    @classmethod
    def of(cls, template: nn.Module) -> "Multilayer | None":
        """What a template is, if it is a plain Sequential of Linear and ReLU, perhaps flattening first; else None."""
        if type(template) is not nn.Sequential or _is_watched(template):
            return None
        parts = [(name, module) for name, module in template.named_children() if not _is_flattening(module)]
        kinds = [type(module) for _, module in parts]
        if kinds != [nn.Linear, nn.ReLU] * (len(kinds) // 2) + [nn.Linear] or any(map(_is_watched, template)):
            return None
        if any(_is_flattening(module) for module in list(template)[1:]):
            return None
        linear = [(name, module) for name, module in parts if isinstance(module, nn.Linear)]
        # A layer that stands twice in the Sequential shares its tensors with itself.
        if any(module.bias is None for _, module in linear) or len({id(module) for _, module in linear}) < len(linear):
            return None
        return cls(tuple((f"{name}.weight", f"{name}.bias") for name, _ in linear))

    def forward(self, weights: Mapping[str, Tensor], x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The inputs (M, n, in) of every layer and the logits (M, n, K), for own inputs x (M, n, ...)."""
        inputs = [x.flatten(2)]
        for weight, bias in self.layers[:-1]:
            inputs.append(_linear(weights[weight], weights[bias], inputs[-1]).relu_())
        weight, bias = self.layers[-1]
        return inputs, _linear(weights[weight], weights[bias], inputs[-1])

    def slopes(self, weights: Mapping[str, Tensor], inputs: list[Tensor], slope: Tensor) -> list[Tensor]:
        """The slopes (M, n, out) of the loss by what every layer gives, from that by the logits."""
        found = [slope]
        for (weight, _), taken in zip(self.layers[:0:-1], inputs[:0:-1], strict=True):
            # ReLU's own backward pass: one pass over the slopes, without a mask.
            found.append(torch.ops.aten.threshold_backward(torch.bmm(found[-1], weights[weight]), taken, 0.0))
        return found[::-1]

    def gradient_norms(self, weights: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        """(M, n, layers): the norm of each record's gradient of its cross-entropy by each layer's weight and bias."""
        both = self.tensor_norms(weights, x, y).square()
        return (both[..., ::2] + both[..., 1::2]).sqrt_()

    def tensor_norms(self, weights: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        """(M, n, 2 layers): the norms by weight and bias of the first layer, of the second, and so on.

        Exact without the gradients: that by a weight is the outer product of slope d and input a, whose squared norm is
        |d|^2 |a|^2, and that by a bias is d (Goodfellow, 2015, Efficient per-example gradient computations).
        """
        inputs, logits = self.forward(weights, x)
        slopes = self.slopes(weights, inputs, _residual(logits, y))
        found = []
        for taken, given in zip(inputs, slopes, strict=True):
            slope = given.norm(dim=2)
            found += [slope * taken.norm(dim=2), slope]
        return torch.stack(found, dim=2)


def _is_flattening(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


def _is_watched(module: nn.Module) -> bool:
    """Whether hooks or the like stand between the layers, which a hand-written pass would leave out."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks)


def _linear(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))


def _residual(logits: Tensor, y: Tensor) -> Tensor:
    """Softmax - one-hot: the slope (M, n, K) of each record's cross-entropy by its logits."""
    slope = _softmax(logits)
    places = y[:, :, None]
    return slope.scatter_add_(2, places, torch.full_like(places, -1, dtype=slope.dtype))


def _softmax(logits: Tensor) -> Tensor:
    """The probabilities (M, n, K)."""
    if logits.shape[2] >= VECTOR:
        return torch.softmax(logits, dim=2)
    # Torch's own takes six times as long for rows that are shorter than a vector register.
    shares = (logits - logits.amax(2, keepdim=True)).exp_()
    return shares.div_(shares.sum(2, keepdim=True))
