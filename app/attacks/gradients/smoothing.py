"""ReLUs that bend instead of having a kink, for searches that kinks would stop.

A unit of a network with ReLUs is on or off for a record, and the network's gradient jumps when it switches. The slope
of a distance of gradients knows nothing of that jump: a search that has a unit on the wrong side stays there, and turns
its records into blends that make up for it. With softplus in the place of ReLU the slope tells where a unit should be;
the bend is made narrower until it is the kink itself, as in graduated non-convexity (Blake and Zisserman, 1987).
"""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from app.attacks.gradients.victims import Victims

BENT = 0.8
"""The share of a search's steps in which kinks bend."""
NARROWER = 30.0
"""How much narrower they are at the end of these than at their beginning."""


def narrowed(first: float, share: float) -> float:
    """How wide kinks are after this share of these steps, if they were so wide at first."""
    return first * NARROWER**-share


class Bend(nn.Module):
    """A ReLU, or leaky ReLU, whose kink is `share` of `spread` wide; the very function where that is nothing."""

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope, self.share, self.spread = slope, 0.0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of `x`."""
        width = self.share * self.spread
        bent = nn.functional.softplus(x / width) * width if width > 0.0 else x.relu()
        return bent if self.slope == 0.0 else self.slope * x + (1.0 - self.slope) * bent


@dataclass(frozen=True)
class Smoothed:
    """Victims whose network bends, at first by nothing; the network is a copy."""

    victims: Victims
    bends: tuple[Bend, ...]

    @classmethod
    def of(cls, victims: Victims) -> "Smoothed":
        """With a bend in the place of every ReLU and leaky ReLU that is a module; other kinks stay."""
        model, made = copy.deepcopy(victims.client.model), dict[int, Bend]()
        for place, module in list(model.named_modules(remove_duplicate=False)):
            if type(module) in (nn.ReLU, nn.LeakyReLU):
                above, _, name = place.rpartition(".")
                # A module that is used in several places stays one.
                bend = made.setdefault(id(module), Bend(getattr(module, "negative_slope", 0.0)))
                setattr(model.get_submodule(above), name, bend)
        return cls(replace(victims, client=replace(victims.client, model=model)), tuple(made.values()))

    def measure(self, x: Tensor) -> None:
        """Take the deviation of what each bend gets, for the records x (B, ...) of the first victim, as its spread."""
        weights, buffers = self.victims.weights, self.victims.buffers
        if not self.victims.client.shared:
            weights, buffers = ({name: part[0] for name, part in each.items()} for each in (weights, buffers))
        hooks = [bend.register_forward_pre_hook(_note) for bend in self.bends]
        try:
            with torch.no_grad():
                functional_call(self.victims.client.model, (weights, buffers), (x,))
        finally:
            for hook in hooks:
                hook.remove()

    def bend(self, share: float) -> None:
        """Make every kink this share of its spread wide; 0 gives the network itself."""
        for one in self.bends:
            one.share = share


def _note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
    if isinstance(module, Bend):
        module.spread = float(given[0].std(correction=0))
