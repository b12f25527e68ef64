"""Projected gradient descent."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from app.attacks.evasion.base import FixedBudget, Problem, Strongest
from app.attacks.evasion.losses import LOSSES
from app.attacks.evasion.norms import Norm
from app.parameters import parameter


@dataclass(frozen=True)
class Pgd(FixedBudget):
    """Ascend the loss in steps of one length, going back into the ball and the box after each."""

    title: ClassVar[str] = "Projected gradient descent"
    source: ClassVar[str] = (
        "Madry, Makelov, Schmidt, Tsipras and Vladu, 2018, ICLR. Steps as in Foolbox; every iterate counts, not only "
        "the last one."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2, Norm.L1)

    steps: int = parameter(50, "Gradient steps of each start.", minimum=1, maximum=10_000)
    rel_stepsize: float = parameter(0.025, "Length of a step as a share of epsilon.", minimum=1e-6, maximum=10.0)
    abs_stepsize: float = parameter(
        0.0, "Length of a step in input units; 0 takes the share of epsilon.", minimum=0.0, maximum=1e6
    )
    random_start: bool = parameter(False, "Begin at a random point of the ball instead of the input itself.")
    restarts: int = parameter(1, "Starts; all but the first one are random.", minimum=1, maximum=100)
    loss: str = parameter(
        "ce", "What is made large: cross-entropy, margin of logits, or their ratio.", choices=tuple(LOSSES)
    )

    def search(self, problem: Problem, epsilon: float) -> Tensor:
        """The iterate with the largest margin."""
        found = Strongest(problem)
        for restart in range(self.restarts):
            rows = found.open
            if len(rows):
                self._climb(problem, rows, found, epsilon, restart)
            problem.progress((restart + 1) / self.restarts)
        return found.x

    def _climb(self, whole: Problem, rows: Tensor, found: Strongest, epsilon: float, restart: int) -> None:
        problem = whole.take(rows)
        loss, size = LOSSES[self.loss], self.abs_stepsize or self.rel_stepsize * epsilon
        x = problem.x
        if self.random_start or restart:
            x = problem.box.clip(x + problem.norm.random(x, epsilon, problem.generator))
        for step in range(self.steps):
            logits, value, slope = problem.gradient(x, loss)
            problem.record(x, value, logits)
            keep = found.offer(rows, x, logits, problem.y)
            if not bool(keep.all()):
                rows, x, slope, problem = rows[keep], x[keep], slope[keep], problem.take(keep)
            if not len(rows):
                return
            x = problem.feasible(x + size * problem.norm.step(slope), epsilon)
            problem.progress((restart + step / self.steps) / self.restarts)
        logits = problem.logits(x)
        problem.record(x, loss(logits, problem.y, None), logits)
        found.offer(rows, x, logits, problem.y)
