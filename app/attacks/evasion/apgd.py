"""Auto-PGD: projected gradient descent without a step size to choose."""

from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from app.attacks.evasion.base import FixedBudget, Problem, Strongest, part
from app.attacks.evasion.losses import LOSSES, Loss, runners_up
from app.attacks.evasion.norms import Norm, spread
from app.parameters import parameter

MOMENTUM = 0.75
FIRST_CHECK, EARLIER, CLOSEST = 0.22, 0.03, 0.06
"""Shares of the steps: when the step size is checked first, how much sooner each time, and how soon at the soonest."""


@dataclass(frozen=True)
class Apgd(FixedBudget):
    """Ascend with momentum; halve an input's step and go back to its best point whenever its loss stops rising."""

    title: ClassVar[str] = "Auto-PGD"
    source: ClassVar[str] = (
        "Croce and Hein, 2020, ICML, algorithm 1, with cross-entropy (APGD-CE) or the difference of logits ratio "
        "(APGD-DLR)."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2)

    steps: int = parameter(100, "Gradient steps of each start.", minimum=2, maximum=10_000)
    restarts: int = parameter(1, "Random starts.", minimum=1, maximum=100)
    rho: float = parameter(0.75, "Share of steps that must raise the loss.", minimum=0.0, maximum=1.0)
    loss: str = parameter("ce", "What is made large.", choices=tuple(LOSSES))

    def search(self, problem: Problem, epsilon: float) -> Tensor:
        """The iterate with the largest margin."""
        found = Strongest(problem)
        for restart in range(self.restarts):
            rows = found.open
            if len(rows):
                told = part(problem.progress, restart / self.restarts, (restart + 1) / self.restarts)
                climb(problem.take(rows), rows, found, (epsilon, self.steps, self.rho, LOSSES[self.loss]))
                told(1.0)
        return found.x


@dataclass(frozen=True)
class TargetedApgd(FixedBudget):
    """Auto-PGD towards each of the wrong classes with the highest logits, one after the other."""

    title: ClassVar[str] = "Targeted Auto-PGD"
    source: ClassVar[str] = "Croce and Hein, 2020, ICML: APGD-T, with the targeted difference of logits ratio (eq. 7)."
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2)

    targets: int = parameter(9, "Wrong classes that are aimed at.", minimum=1, maximum=1000)
    steps: int = parameter(100, "Gradient steps for each target.", minimum=2, maximum=10_000)
    rho: float = parameter(0.75, "Share of steps that must raise the loss.", minimum=0.0, maximum=1.0)
    loss: str = parameter("dlr", "What is made large.", choices=tuple(LOSSES))

    def search(self, problem: Problem, epsilon: float) -> Tensor:
        """The iterate with the largest margin."""
        found = Strongest(problem)
        wrong = runners_up(problem.logits(problem.x), problem.y, self.targets)
        for turn, target in enumerate(wrong.T):
            rows = found.open
            if len(rows):
                aimed = problem.take(rows, target[rows])
                climb(aimed, rows, found, (epsilon, self.steps, self.rho, LOSSES[self.loss]))
            problem.progress((turn + 1) / wrong.shape[1])
        return found.x


@dataclass
class _Climb:
    """Where each input stands; every tensor has one row per input."""

    x: Tensor
    before: Tensor
    slope: Tensor
    loss: Tensor
    best_x: Tensor
    best_slope: Tensor
    best_loss: Tensor
    size: Tensor
    rises: Tensor
    """(B,): steps since the last check that raised the loss."""
    checked_loss: Tensor
    """(B,): the best loss at the last check."""
    halved: Tensor
    """(B,): whether the last check halved the step."""

    def take(self, keep: Tensor) -> "_Climb":
        return _Climb(*(getattr(self, field.name)[keep] for field in fields(self)))


def climb(problem: Problem, rows: Tensor, found: Strongest, how: tuple[float, int, float, Loss]) -> None:
    """One run of Auto-PGD from a random point, for the inputs `rows` of what `found` collects.

    `how` is epsilon, the number of steps, rho and the loss.
    """
    epsilon, steps, rho, loss = how
    state = _start(problem, epsilon, loss)
    check, wait = max(int(FIRST_CHECK * steps), 1), 0
    for step in range(steps):
        state.x, state.before = _move(problem, state, epsilon, MOMENTUM if step else 1.0), state.x
        logits, value, state.slope = problem.gradient(state.x, loss)
        problem.record(state.x, value, logits)
        keep = found.offer(rows, state.x, logits, problem.y)
        state.rises += (value > state.loss).to(state.rises.dtype)
        state.loss = value
        _remember(state)
        wait += 1
        if wait == check:
            _check_size(state, rho * check)
            check, wait = max(check - max(int(EARLIER * steps), 1), max(int(CLOSEST * steps), 1)), 0
        if not bool(keep.all()):
            rows, problem, state = rows[keep], problem.take(keep), state.take(keep)
        if not len(rows):
            return


def _start(problem: Problem, epsilon: float, loss: Loss) -> _Climb:
    """A random point on the edge of the ball, in the box."""
    direction = problem.norm.random(problem.x, 1.0, problem.generator)
    length = problem.norm.distance(direction)
    x = problem.feasible(problem.x + direction * spread(epsilon / length, direction), epsilon)
    _, value, slope = problem.gradient(x, loss)
    size, none = torch.full_like(value, 2.0 * epsilon), torch.zeros_like(value)
    return _Climb(x, x, slope, value, x, slope, value, size, none, value.clone(), none.to(torch.bool))


def _move(problem: Problem, state: _Climb, epsilon: float, momentum: float) -> Tensor:
    """Equation 5: the projected step, blended with the step before."""
    ahead = problem.feasible(state.x + spread(state.size, state.x) * problem.norm.step(state.slope), epsilon)
    blend = state.x + momentum * (ahead - state.x) + (1.0 - momentum) * (state.x - state.before)
    return problem.feasible(blend, epsilon)


def _remember(state: _Climb) -> None:
    better = state.loss > state.best_loss
    wide = better.reshape(-1, *[1] * (state.x.ndim - 1))
    state.best_x, state.best_slope = (
        torch.where(wide, state.x, state.best_x),
        torch.where(wide, state.slope, state.best_slope),
    )
    state.best_loss = torch.where(better, state.loss, state.best_loss)


def _check_size(state: _Climb, wanted: float) -> None:
    """Conditions 1 and 2: too few rises, or no better point since a check that left the step as it was."""
    halve = (state.rises <= wanted) | (~state.halved & (state.checked_loss >= state.best_loss))
    wide = halve.reshape(-1, *[1] * (state.x.ndim - 1))
    state.x, state.slope = torch.where(wide, state.best_x, state.x), torch.where(wide, state.best_slope, state.slope)
    state.loss = torch.where(halve, state.best_loss, state.loss)
    state.size = torch.where(halve, state.size / 2.0, state.size)
    state.halved, state.checked_loss, state.rises = halve, state.best_loss, torch.zeros_like(state.rises)
