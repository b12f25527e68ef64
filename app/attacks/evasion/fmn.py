"""Fast minimum-norm attack."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.attacks.evasion.base import Closest, MinimumDistance, Problem, is_safe, slack
from app.attacks.evasion.losses import margin
from app.attacks.evasion.norms import TINY, Norm
from app.parameters import parameter


@dataclass(frozen=True)
class Fmn(MinimumDistance):
    """Ascend the margin within a ball that shrinks when the input is misclassified and grows when it is not."""

    title: ClassVar[str] = "Fast minimum-norm"
    source: ClassVar[str] = (
        "Pintor, Roli, Brendel and Biggio, 2021, NeurIPS, algorithm 1. Each input has a step and a ball of its own; "
        "the cosine schedules and their ends are the paper's."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2, Norm.L1)

    steps: int = parameter(100, "Gradient steps.", minimum=1, maximum=10_000)
    max_stepsize: float = parameter(1.0, "Euclidean length of the first step.", minimum=1e-6, maximum=1e6)
    min_stepsize: float = parameter(0.01, "Euclidean length of the last step.", minimum=1e-9, maximum=1e6)
    gamma: float = parameter(0.05, "Share by which the ball changes, at first.", minimum=1e-6, maximum=0.9)
    gamma_final: float = parameter(0.001, "Share by which the ball changes, at last.", minimum=1e-9, maximum=0.9)

    def search(self, problem: Problem) -> Tensor:
        """The closest iterate that is misclassified with a safe margin."""
        found, rows = Closest(problem), torch.arange(len(problem), device=problem.x.device)
        x, radius = problem.x, torch.full_like(found.distance, torch.inf)
        for step in range(self.steps):
            size = _cosine(self.max_stepsize, self.min_stepsize, step / self.steps)
            gamma = _cosine(self.gamma, self.gamma_final, step / self.steps)
            logits, value, slope = problem.gradient(x, margin)
            distance, error = problem.distance(x), is_safe(logits, value)
            problem.record(x, value, logits)
            found.offer(rows, x, distance, error)
            # Until the first error is found, the ball reaches to the boundary of the linearised model.
            linear = distance + (slack(logits) - value) / problem.norm.dual.distance(slope).clamp_min(TINY)
            # A box that cuts the step off would hold it there for ever, so that it also grows.
            grown = torch.where(radius.isinf(), 0.0, radius * (1.0 + gamma))
            outside = torch.where(found.distance.isinf(), torch.maximum(linear, grown), grown)
            radius = torch.where(error, torch.minimum(radius * (1.0 - gamma), found.distance), outside)
            x = problem.feasible(x + size * Norm.L2.step(slope), radius)
            problem.progress((step + 1) / self.steps)
        logits = problem.logits(x)
        found.offer(rows, x, problem.distance(x), is_safe(logits, margin(logits, problem.y)))
        return found.x


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * share)) / 2.0
