"""The house's attack for whole security curves: few gradients per input, and one run serves every epsilon."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.attacks.evasion.base import Closest, MinimumDistance, Problem, is_safe
from app.attacks.evasion.losses import margin, picked, runners_up
from app.attacks.evasion.norms import TINY, Norm, spread
from app.parameters import parameter

CANDIDATES = 10
"""Wrong classes whose linearised distance is measured to choose the targets; each costs half a gradient step."""
FIRST_STEP, LAST_STEP = 2.0, 0.05
"""Length of a step as a share of the radius; the first one of the first pass crosses the whole ball."""
FIRST_CHANGE, LAST_CHANGE = 0.1, 0.005
"""Share by which the radius grows or shrinks."""
HOPES = {3: 1.15, 6: 1.05, 9: 1.02}
"""After so many steps of a further pass, inputs whose linearised boundary lies this much beyond the closest known
error are given up: that saves a fifth of the time and costs nothing that was measurable."""
BAND = 0.03
"""An error at most this share beyond a listed size is worth the attempt to draw it under that size."""


@dataclass(frozen=True)
class MinimumNorm(MinimumDistance):
    """Ascend the margin in a ball that follows the boundary, towards the nearest class and then towards others."""

    title: ClassVar[str] = "Minimum norm with nearest targets"
    source: ClassVar[str] = (
        "A variant of the house of FMN (Pintor, Roli, Brendel and Biggio, 2021, NeurIPS): steps of the norm's own "
        "geometry that are shares of the radius; the first pass goes towards the class whose linearised boundary is "
        "nearest, as in FAB-T (Croce and Hein, 2020, ICML), and further ones, towards any class and the next nearest, "
        "begin at random points of the ball that is known. Errors just beyond a size that the curve lists are drawn "
        "under it by ascents of the margin in the ball of that size."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2, Norm.L1)

    steps: int = parameter(15, "Gradient steps of each pass.", minimum=1, maximum=10_000)
    targets: int = parameter(
        3, "Wrong classes that are aimed at; 0 makes one pass towards any class.", minimum=0, maximum=1000
    )
    polish_steps: int = parameter(
        20, "Gradient steps at a listed size for errors just beyond it; 0 leaves them out.", minimum=0, maximum=10_000
    )

    def search(self, problem: Problem) -> Tensor:
        """The closest iterate that is misclassified with a safe margin."""
        found, done = Closest(problem), 0
        passes = self._passes(problem)
        total = self.steps * len(passes) + 2 * self.polish_steps * bool(problem.sizes)
        for turn, aimed in enumerate(passes):
            self._descend(aimed, found, is_first=turn == 0)
            done += self.steps
            problem.progress(done / total)
        if self.polish_steps and problem.sizes:
            # First from the known error towards its class, then from a random point towards the next class.
            for rank in (0, 1):
                self._polish(problem, found, rank)
                done += self.polish_steps
                problem.progress(done / total)
        return found.x

    def _passes(self, problem: Problem) -> list[Problem]:
        """What is aimed at, one pass after the other."""
        if not self.targets:
            return [problem]
        every = torch.arange(len(problem), device=problem.x.device)
        first, *others = (problem.take(every, target) for target in nearest_classes(problem, self.targets).T)
        return [first, problem, *others]

    def _descend(self, problem: Problem, found: Closest, is_first: bool) -> None:
        """One pass; inputs for which no error is known begin where they are, with the ball of the linearised model."""
        rows, norm = torch.arange(len(problem), device=problem.x.device), problem.norm
        widest = float(norm.distance(torch.full_like(problem.x[:1], problem.box.width)))
        is_new = found.distance.isinf()
        radius = torch.where(is_new, 0.0, found.distance)
        x = problem.feasible(problem.x + norm.random(problem.x, radius, problem.generator), radius)
        longest = FIRST_STEP if is_first else 1.0
        for step in range(self.steps):
            phase = _phase(step, self.steps)
            change = LAST_CHANGE + (FIRST_CHANGE - LAST_CHANGE) * phase
            logits, value, slope = problem.gradient(x, margin)
            error = _offered(problem, x, logits, found, rows)
            problem.record(x, value, logits)
            closest = found.distance[rows]
            linear = problem.distance(x) - value / norm.dual.distance(slope).clamp_min(TINY)
            grown = radius * (1.0 + change)
            grown = torch.where(closest.isinf(), torch.maximum(grown, linear), grown)
            radius = torch.where(error, radius * (1.0 - change), grown)
            radius = torch.where(is_new, linear, radius) if step == 0 else radius
            radius = torch.minimum(radius, closest * (1.0 - LAST_CHANGE / 2.0)).clamp(TINY, widest)
            size = (LAST_STEP + (longest - LAST_STEP) * phase) * radius
            x = problem.feasible(x + spread(size, x) * _direction(norm, slope), radius)
            if not is_first and step in HOPES:
                near = linear < HOPES[step] * closest
                rows, x, radius, problem = rows[near], x[near], radius[near], problem.take(near)
            if not len(rows):
                return
        _offered(problem, x, problem.logits(x), found, rows)

    def _polish(self, whole: Problem, found: Closest, rank: int) -> None:
        """Ascend at the largest listed size below each known error that lies just beyond it."""
        goal = _below(found.distance, whole)
        rows = ((goal > 0.0) & (found.distance <= goal * (1.0 + BAND))).nonzero()[:, 0]
        if not len(rows):
            return
        wrong = runners_up(whole.logits(found.x[rows]), whole.y[rows], rank + 1)[:, -1]
        problem, radius = whole.take(rows, wrong), goal[rows]
        start = problem.norm.random(problem.x, radius, problem.generator) if rank else found.x[rows] - problem.x
        x = problem.feasible(problem.x + start, radius)
        for step in range(self.polish_steps):
            logits, value, slope = problem.gradient(x, margin)
            problem.record(x, value, logits)
            left = ~_offered(problem, x, logits, found, rows)
            size = (LAST_STEP + (1.0 - LAST_STEP) * _phase(step, self.polish_steps)) * radius
            x = problem.feasible(x + spread(size, x) * _direction(problem.norm, slope), radius)
            rows, x, radius, problem = rows[left], x[left], radius[left], problem.take(left)
            if not len(rows):
                return
        _offered(problem, x, problem.logits(x), found, rows)


def _phase(step: int, steps: int) -> float:
    """From 1 at the first step to 0 at the last one, along a cosine."""
    return (1.0 + math.cos(math.pi * step / max(1, steps - 1))) / 2.0


def _offered(problem: Problem, x: Tensor, logits: Tensor, found: Closest, rows: Tensor) -> Tensor:
    """(B,): which of `x` are errors with a safe margin; they are kept if they are closer than what is known."""
    error = is_safe(logits, margin(logits, problem.y))
    found.offer(rows, x, problem.distance(x), error)
    return error


def _below(distance: Tensor, problem: Problem) -> Tensor:
    """(B,): the largest listed size below each distance, less what adding to an input can round; 0 without one."""
    rounding = 4.0 * torch.finfo(distance.dtype).eps * max(abs(problem.box.low), abs(problem.box.high))
    reach = torch.tensor([0.0, *sorted(problem.sizes)], dtype=distance.dtype, device=distance.device) - rounding
    return reach[(torch.searchsorted(reach, distance) - 1).clamp_min(0)].clamp_min(0.0)


def _direction(norm: Norm, slope: Tensor) -> Tensor:
    """Euclidean steps in the Manhattan ball: its projection makes them sparse, which short dense steps never become."""
    return Norm.L2.step(slope) if norm is Norm.L1 else norm.step(slope)


def nearest_classes(problem: Problem, count: int) -> Tensor:
    """(B, count or less): the wrong classes in the order of the distance to their linearised boundaries."""
    leaf = problem.x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = problem.model(leaf)
    wrong = runners_up(logits.detach(), problem.y, CANDIDATES if count <= CANDIDATES else count)
    if not logits.requires_grad:
        return wrong[:, :count]
    distance = torch.empty(wrong.shape, dtype=logits.dtype, device=logits.device)
    for column, candidate in enumerate(wrong.T):
        with torch.enable_grad():
            missing = picked(logits, problem.y) - picked(logits, candidate)
            (slope,) = torch.autograd.grad(missing.sum(), leaf, retain_graph=True, allow_unused=True)
        if slope is None:
            # The logits depend on weights that are trained, but not on the input.
            return wrong[:, :count]
        distance[:, column] = missing.detach() / problem.norm.dual.distance(slope).clamp_min(TINY)
    return wrong.gather(1, distance.nan_to_num(torch.inf).argsort(dim=1, stable=True)[:, :count])
