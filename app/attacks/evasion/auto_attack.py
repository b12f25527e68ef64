"""AutoAttack: four attacks one after the other, each on what the ones before have left."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.attacks.evasion.apgd import Apgd, TargetedApgd
from app.attacks.evasion.base import FixedBudget, Problem, Strongest, part
from app.attacks.evasion.fab import Fab
from app.attacks.evasion.norms import Norm
from app.attacks.evasion.square import Square
from app.parameters import parameter

Search = Callable[[Problem], Tensor]


@dataclass(frozen=True)
class AutoAttack(FixedBudget):
    """APGD-CE, targeted APGD-DLR, FAB-T and Square; an input is robust only if it withstands all of them."""

    title: ClassVar[str] = "AutoAttack"
    source: ClassVar[str] = (
        "Croce and Hein, 2020, ICML: the standard version, APGD-CE, APGD-T, FAB-T and Square, each with the authors' "
        "settings."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2)

    steps: int = parameter(100, "Gradient steps of each of the first three attacks.", minimum=2, maximum=10_000)
    targets: int = parameter(9, "Wrong classes that APGD-T aims at.", minimum=1, maximum=1000)
    queries: int = parameter(5000, "Queries of the Square attack; 0 leaves it out.", minimum=0, maximum=1_000_000)

    def search(self, problem: Problem, epsilon: float) -> Tensor:
        """The input with the largest margin that any of the four has found."""
        found, stages = Strongest(problem), self._stages(epsilon)
        for turn, stage in enumerate(stages):
            rows = found.open
            if not len(rows):
                break
            left = problem.take(rows)
            told = part(problem.progress, turn / len(stages), (turn + 1) / len(stages))
            x = left.feasible(stage(left.reporting(told)), epsilon)
            found.offer(rows, x, left.logits(x), left.y)
        return found.x

    def _stages(self, epsilon: float) -> tuple[Search, ...]:
        first, second = Apgd(steps=self.steps), TargetedApgd(steps=self.steps, targets=self.targets)
        stages: tuple[Search, ...] = (
            lambda problem: first.search(problem, epsilon),
            lambda problem: second.search(problem, epsilon),
            lambda problem: self._minimal(problem, epsilon),
        )
        return (
            (*stages, lambda problem: Square(queries=self.queries).search(problem, epsilon)) if self.queries else stages
        )

    def _minimal(self, problem: Problem, epsilon: float) -> Tensor:
        """The closest error, and the original where that lies outside the ball."""
        x = Fab(steps=self.steps, targets=self.targets).search(problem)
        inside = problem.distance(x) <= epsilon
        return torch.where(inside.reshape(-1, *[1] * (x.ndim - 1)), x, problem.x)
