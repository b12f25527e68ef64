"""What attacks by matching share: groups of victims, and the search by signed Adam in a box."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import Observation, Progress, Reconstruction, silent
from app.attacks.gradients.best import POINTS, Best
from app.attacks.gradients.drift import steady, straight
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.optimisers import Adam, decay
from app.attacks.gradients.victims import Victims, groups, stack

Prior = Callable[[Tensor], Tensor]
"""Inputs (P, B, ...) in model space to a penalty (P,)."""
CHECK = 20
"""Evaluations between two looks at which problems are done."""


def solve(
    observations: Sequence[Observation],
    device: str,
    method: Callable[[Victims], list[Reconstruction]],
    dtype: torch.dtype = torch.float32,
) -> list[Reconstruction]:
    """Each group of observations stacked and given to the method; the results in the order of the observations."""
    found: dict[int, Reconstruction] = {}
    for places in groups(observations):
        results = method(stack([observations[place] for place in places], device, dtype))
        found.update(zip(places, results, strict=True))
    return [found[place] for place in range(len(observations))]


def generator(rng: np.random.Generator, device: str | torch.device) -> torch.Generator:
    """A torch generator on the device, seeded from `rng`."""
    return torch.Generator(device).manual_seed(int(rng.integers(2**63 - 1)))


@dataclass
class SignedAdam:
    """Adam on the signs of the gradients, in the box, of many problems at once; it can be stopped and resumed.

    Geiping et al., 2020. The rate falls at 3/8, 5/8 and 7/8 of the iterations, or along a half cosine.
    """

    matching: Matching
    index: Tensor
    """(P,): the victim of every problem; problems of one victim differ in their start."""
    x: Tensor
    """(P, B, ...): the starts, in model space."""
    y: Tensor
    """(P, B, K): label probabilities, or the logits of labels that are searched for too."""
    iterations: int
    rate: float
    schedule: str = "steps"
    joint: bool = False
    """Whether labels are searched for."""
    signed: bool = True
    priors: Sequence[tuple[float, Prior]] = ()
    patience: int = 0
    """Iterations without a better loss of any problem after which the search ends; 0 never ends early."""
    corrections: int = 0
    """How often a gradient that stands in for an update of small steps is corrected (see `drift`); 0: none does."""

    def __post_init__(self) -> None:
        self.guess: tuple[Tensor, Tensor] | None = None
        self.straightened = bool(self.corrections) and steady(self.matching, self._first())
        self._now = straight(self.matching) if self.straightened else self.matching
        self.best_x, self.best_y = self.x.clone(), self.chance(self.y)
        self.best = self.x.new_full((len(self.x),), torch.inf)
        self.turn, self.last_gain = 0, 0
        self.trace: list[Tensor] = []
        self._adam, self._label_adam = Adam(), Adam()

    def chance(self, y: Tensor) -> Tensor:
        """Label probabilities."""
        return y.softmax(2) if self.joint else y

    def objective(self, x: Tensor, y: Tensor) -> Tensor:
        """(P,): the loss with its priors."""
        return self._penalised(self._now(x, self.chance(y), self.index), x)

    def judged(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """(P,): the losses, with their priors, of guesses that come from elsewhere."""
        return self._penalised(self.matching.values(x, y, index), x)

    def run(self, until: int | None = None, progress: Progress = silent) -> "SignedAdam":
        """Go on until the given iteration, or the end."""
        end = self.iterations if until is None else min(until, self.iterations)
        while self.turn < end and not self._is_stale:
            self._advance()
            if self.turn % CHECK == 0:
                progress(self.turn / self.iterations)
        if self.turn >= self.iterations or self._is_stale:
            with torch.no_grad():
                self._keep(self.objective(self.x, self.y))
            self._judge(self.matching)
            self.turn = max(self.turn, self.iterations)
        return self

    def result(self) -> Best:
        """The best guess for each victim, by the attack's own loss."""
        best = Best.of(self.matching.victims)
        best.offer(self.index, self.best_x, self.best_y, self.best)
        for losses in self.trace:
            found = torch.full_like(best.loss, torch.inf)
            best.trace.append(found.scatter_reduce(0, self.index, losses, "amin"))
        return best

    def state(self) -> Mapping[str, Any]:
        """All that is needed to go on later; `restore` takes it back."""
        names = ("x", "y", "best_x", "best_y", "best", "turn", "last_gain", "trace", "guess", "straightened")
        moments = {name: dict(vars(adam)) for name, adam in (("x", self._adam), ("y", self._label_adam))}
        return {name: getattr(self, name) for name in names} | {"moments": moments}

    def restore(self, state: Mapping[str, Any]) -> "SignedAdam":
        """Go on from where `state` was taken."""
        for name, value in state.items():
            if name != "moments":
                setattr(self, name, value)
        self._now = straight(self.matching, self.guess) if self.straightened else self.matching
        self._adam, self._label_adam = (Adam(**state["moments"][name]) for name in ("x", "y"))
        return self

    @property
    def _is_stale(self) -> bool:
        return bool(self.patience) and self.turn - self.last_gain >= self.patience

    def _first(self) -> tuple[Tensor, Tensor]:
        """One start, with label probabilities, of every victim."""
        rows = [int((self.index == victim).nonzero()[0, 0]) for victim in range(len(self.matching.victims))]
        return self.x[rows], self.chance(self.y[rows])

    def _penalised(self, losses: Tensor, x: Tensor) -> Tensor:
        for weight, prior in self.priors:
            losses = losses + weight * prior(x)
        return losses

    def _correct(self) -> None:
        best = self.result()
        self.guess = best.x, best.y
        self._judge(straight(self.matching, self.guess))

    def _judge(self, matching: Matching) -> None:
        """Go on with another matching, whose losses those of the best guesses become; nothing if it is the same."""
        if matching is not self._now:
            self._now = matching
            self.best = self._penalised(matching.values(self.best_x, self.best_y, self.index), self.best_x)

    @property
    def _is_due(self) -> bool:
        every = -(-self.iterations // (1 + self.corrections))
        return self.straightened and self.turn > 0 and self.turn % every == 0

    def _advance(self) -> None:
        if self._is_due:
            self._correct()
        x = self.x.detach().requires_grad_()
        y = self.y.detach().requires_grad_(self.joint)
        with torch.enable_grad():
            losses = self.objective(x, y)
            slopes = torch.autograd.grad(losses.sum(), (x, y) if self.joint else (x,))
        self._keep(losses.detach())
        rate = self.rate * decay(self.schedule, self.turn / self.iterations)
        slope = slopes[0].nan_to_num(0.0, 0.0, 0.0)
        self.x = self.matching.victims.clip(x.detach() + self._adam.move(slope.sign() if self.signed else slope, rate))
        if self.joint:
            self.y = y.detach() + self._label_adam.move(slopes[1].nan_to_num(0.0, 0.0, 0.0), rate)
        self.turn += 1

    def _keep(self, losses: Tensor) -> None:
        better = losses < self.best
        if bool(better.any()):
            self.last_gain = self.turn
            self.best = torch.where(better, losses, self.best)
            self.best_x = torch.where(_wide(better, self.x), self.x, self.best_x)
            self.best_y = torch.where(_wide(better, self.y), self.chance(self.y), self.best_y)
        if self.turn % max(1, self.iterations // POINTS) == 0:
            self.trace.append(self.best.clone())


def _wide(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape(-1, *[1] * (like.ndim - 1))
