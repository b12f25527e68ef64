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
"""Length of a step as a share of the radius; the first one crosses the whole ball."""
FIRST_CHANGE, LAST_CHANGE = 0.1, 0.005
"""Share by which the radius grows or shrinks."""


PATIENCE, HOPE = 4, 1.2
"""After this many steps towards a target, inputs whose linearised boundary lies this much beyond the closest known
error are given up: that saves a fifth of the time and costs nothing that was measurable."""


@dataclass(frozen=True)
class MinimumNorm(MinimumDistance):
    """Ascend the margin in a ball that follows the boundary, first towards any class, then towards the nearest ones."""

    title: ClassVar[str] = "Minimum norm with nearest targets"
    source: ClassVar[str] = (
        "A variant of the house of FMN (Pintor, Roli, Brendel and Biggio, 2021, NeurIPS): steps of the norm's own "
        "geometry that are shares of the radius, and further passes towards the classes whose linearised boundary is "
        "nearest, as in FAB-T (Croce and Hein, 2020, ICML)."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2, Norm.L1)

    steps: int = parameter(30, "Gradient steps towards any wrong class; 0 leaves them out.", minimum=0, maximum=10_000)
    targets: int = parameter(3, "Wrong classes that are aimed at afterwards.", minimum=0, maximum=1000)
    target_steps: int = parameter(30, "Gradient steps towards each of them.", minimum=1, maximum=10_000)

    def search(self, problem: Problem) -> Tensor:
        """The closest iterate that is misclassified with a safe margin."""
        found, every = Closest(problem), torch.arange(len(problem), device=problem.x.device)
        aims = nearest_classes(problem, self.targets) if self.targets else problem.y[:, None][:, :0]
        passes: list[tuple[Problem, int]] = [(problem, self.steps)]
        passes += [(problem.take(every, target), self.target_steps) for target in aims.T]
        total, done = max(1, sum(steps for _, steps in passes)), 0
        for aimed, steps in passes:
            self._descend(aimed, found, every, steps)
            done += steps
            problem.progress(done / total)
        return found.x

    def _descend(self, problem: Problem, found: Closest, rows: Tensor, steps: int) -> None:
        x, radius = problem.x, torch.zeros_like(found.distance)
        widest = float(problem.norm.distance(torch.full_like(x[:1], problem.box.width)))
        for step in range(steps):
            phase = (1.0 + math.cos(math.pi * step / max(1, steps - 1))) / 2.0
            change = LAST_CHANGE + (FIRST_CHANGE - LAST_CHANGE) * phase
            logits, value, slope = problem.gradient(x, margin)
            error = self._offer(problem, x, logits, found, rows)
            problem.record(x, value, logits)
            # The linearised boundary is where a pass begins, and what it follows until a first error is known.
            closest = found.distance[rows]
            linear = problem.distance(x) - value / problem.norm.dual.distance(slope).clamp_min(TINY)
            outside = radius * (1.0 + change)
            outside = torch.where(closest.isinf(), torch.maximum(outside, linear), outside)
            radius = torch.where(error, radius * (1.0 - change), outside) if step else linear
            radius = torch.minimum(radius, closest * (1.0 - LAST_CHANGE / 2.0)).clamp(TINY, widest)
            size = (LAST_STEP + (FIRST_STEP - LAST_STEP) * phase) * radius
            x = problem.feasible(x + spread(size, x) * _direction(problem.norm, slope), radius)
            if step == PATIENCE and problem.target is not None:
                near = linear < HOPE * closest
                rows, x, radius, problem = rows[near], x[near], radius[near], problem.take(near)
            if not len(rows):
                return
        if steps:
            self._offer(problem, x, problem.logits(x), found, rows)

    @staticmethod
    def _offer(problem: Problem, x: Tensor, logits: Tensor, found: Closest, rows: Tensor) -> Tensor:
        error = is_safe(logits, margin(logits, problem.y))
        found.offer(rows, x, problem.distance(x), error)
        return error


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
