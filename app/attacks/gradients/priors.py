"""What an attacker expects of inputs: penalties (P,) of guesses x (P, B, ...) in model space, lower for likely ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from app.attacks.gradients.base import Observation, Unsuited
from app.attacks.gradients.victims import Victims


def total_variation(x: Tensor) -> Tensor:
    """Anisotropic total variation: mean |x(i+1, j) - x(i, j)| + mean |x(i, j+1) - x(i, j)|.

    The means are over records, channels and pixels (Geiping et al., 2020). 0 for inputs that are not images.
    """
    if x.ndim != 5:
        return x.new_zeros(len(x))
    down, across = x.diff(dim=3).abs(), x.diff(dim=4).abs()
    return down.flatten(1).mean(1).nan_to_num(0.0) + across.flatten(1).mean(1).nan_to_num(0.0)


def squared_variation(x: Tensor) -> Tensor:
    """The sum over pixels and channels of squared differences of neighbours, mean over the records."""
    if x.ndim != 5:
        return x.new_zeros(len(x))
    return (x.diff(dim=3).square().flatten(1).sum(1) + x.diff(dim=4).square().flatten(1).sum(1)) / x.shape[1]


def magnitude(x: Tensor) -> Tensor:
    """The mean of the squares (GradInversion's l2 term, by the number of values)."""
    return x.flatten(1).square().mean(1)


@dataclass(frozen=True)
class Outside:
    """How far inputs leave their range: the sum of squares over values outside the model, mean over the records."""

    victims: Victims

    def __call__(self, x: Tensor) -> Tensor:
        """(P,) for x (P, B, ...)."""
        shown = x * self.victims.std + self.victims.mean
        first = self.victims.first
        return (shown - shown.clamp(first.low, first.high)).square().flatten(1).sum(1) / x.shape[1]


@dataclass(frozen=True)
class Consistency:
    """How far the guesses at one victim are from their mean (Yin et al., 2021, CVPR, eq. 11), without registration.

    Records of a guess are compared by their place, which labels in one order give a meaning.
    """

    index: Tensor
    """(P,): the victim of every problem."""

    def __call__(self, x: Tensor) -> Tensor:
        """(P,): the mean squared distance to the mean of the victim's guesses, which counts as given."""
        same = (self.index[:, None] == self.index).to(x)
        mean = (same / same.sum(1, keepdim=True)) @ x.detach().flatten(1)
        return (x.flatten(1) - mean).square().mean(1)


class NormStatistics:
    """How far the statistics of the features are from those that batch normalisation keeps (Yin et al., 2021, eq. 9).

    Per layer the squared distance of mean and of variance over the batch, summed. A client that shares its buffers
    after one step gives its very batch away: new = (1 - m) old + m batch. Otherwise the running statistics serve.
    """

    def __init__(self, victims: Victims) -> None:
        """Raises Unsuited when the model keeps no statistics."""
        self.victims = victims
        self.layers = _layers(victims.first)
        if not self.layers:
            raise Unsuited("the model has no batch normalisation whose statistics could guide the search")
        self.expected = [[_expected(one, layer) for layer in self.layers] for one in victims.observations]

    def __call__(self, x: Tensor, index: Tensor) -> Tensor:
        """(P,) for x (P, B, ...) of the victims `index` (P,)."""
        return torch.stack([self._one(guess, int(victim)) for guess, victim in zip(x, index, strict=True)])

    def _one(self, x: Tensor, victim: int) -> Tensor:
        weights, buffers, _ = self.victims.take(torch.tensor([victim], device=x.device))
        if not self.victims.client.shared:
            weights, buffers = ({name: t[0] for name, t in each.items()} for each in (weights, buffers))
        model = self.victims.client.model
        seen: dict[str, Tensor] = {}
        hooks = [
            model.get_submodule(name).register_forward_hook(
                lambda module, given, result, name=name: seen.__setitem__(name, given[0])
            )
            for name in self.layers
        ]
        try:
            functional_call(model, (weights, buffers), (x,))
        finally:
            for hook in hooks:
                hook.remove()
        return _mismatch([seen[name] for name in self.layers], self.expected[victim])


def _mismatch(features: Sequence[Tensor], expected: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    total = features[0].new_zeros(())
    for feature, (mean, variance) in zip(features, expected, strict=True):
        axes = [0, *range(2, feature.ndim)]
        total = total + (feature.mean(axes) - mean.to(feature)).square().sum()
        total = total + (feature.var(axes, unbiased=False) - variance.to(feature)).square().sum()
    return total


def _layers(one: Observation) -> list[str]:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return [
        name for name, module in one.model.named_modules() if isinstance(module, kinds) and module.track_running_stats
    ]


def _expected(one: Observation, layer: str) -> tuple[Tensor, Tensor]:
    """Mean and variance of the features before a layer."""
    module = one.model.get_submodule(layer)
    share = getattr(module, "momentum", None)
    steps = 1 if one.training is None else one.training.steps(one.records)
    names = (f"{layer}.running_mean", f"{layer}.running_var")
    if not one.model.training or share is None or steps != 1 or any(name not in one.shared_buffers for name in names):
        return one.buffers[names[0]], one.buffers[names[1]]
    found = [(one.shared_buffers[name] - (1.0 - share) * one.buffers[name]) / share for name in names]
    # The buffer keeps the unbiased variance; over many pixels the difference is small, and the count is not known here.
    return found[0], found[1]
