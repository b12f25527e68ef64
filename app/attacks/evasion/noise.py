"""Random perturbations: what an attacker without any knowledge of the model reaches."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.attacks.evasion.base import FixedBudget, Problem, Strongest
from app.attacks.evasion.norms import TINY, Norm, spread
from app.parameters import parameter


@dataclass(frozen=True)
class UniformNoise(FixedBudget):
    """Uniform noise stretched to the edge of the ball; the best of several draws counts."""

    title: ClassVar[str] = "Additive uniform noise"
    source: ClassVar[str] = "As in Foolbox (Rauber, Brendel and Bethge, 2017), with the best of several draws."
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2)

    repeats: int = parameter(10, "Draws for each input, at most.", minimum=1, maximum=100_000)

    def search(self, problem: Problem, epsilon: float) -> Tensor:
        """The draw with the largest margin."""
        found = Strongest(problem)
        rows = found.open
        for repeat in range(self.repeats):
            # A recorded run goes on with what it has broken, as the offer says; otherwise the rows become fewer.
            part = problem.take(rows)
            noise = (
                2.0 * torch.rand(part.x.shape, generator=part.generator, device=part.x.device, dtype=part.x.dtype) - 1.0
            )
            length = part.norm.distance(noise).clamp_min(TINY)
            x = part.feasible(part.x + noise * spread(epsilon / length, noise), epsilon)
            logits = part.logits(x)
            part.record(x, found.margin[rows], logits)
            rows = rows[found.offer(rows, x, logits, part.y)]
            problem.progress((repeat + 1) / self.repeats)
            if not len(rows):
                break
        return found.x
