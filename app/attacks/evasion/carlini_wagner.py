"""The Carlini-Wagner attack in the Euclidean norm."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.attacks.evasion.base import Closest, MinimumDistance, Problem, slack
from app.attacks.evasion.losses import margin
from app.attacks.evasion.norms import Norm, spread
from app.parameters import parameter

EDGE = 0.9
"""Values begin at most this far, as a share of the way, from the middle of the box to its edge. At the edge the inverse
hyperbolic tangent is infinite, and close to it Adam's steps move nothing: with the 0.999999 of the original code, 100
steps find no error for 30 % of scikit-learn's digits, whose paper is white and ink black; with this, for none."""


@dataclass(frozen=True)
class CarliniWagner(MinimumDistance):
    """Minimise the squared distance plus c times the margin that is missing, with a bisection for each input's c."""

    title: ClassVar[str] = "Carlini and Wagner"
    source: ClassVar[str] = (
        "Carlini and Wagner, 2017, IEEE S&P, section VI.A: the Euclidean attack with f6, Adam and a change of "
        "variables by tanh. Each input of a batch has its own c and stops on its own."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.L2,)

    steps: int = parameter(100, "Steps of Adam for each c.", minimum=1, maximum=100_000)
    binary_search_steps: int = parameter(9, "Values of c that are tried.", minimum=1, maximum=100)
    confidence: float = parameter(0.0, "Margin that an error must have (kappa), in logits.", minimum=0.0, maximum=1e6)
    initial_const: float = parameter(1e-3, "The first c.", minimum=1e-12, maximum=1e10)
    abort_early: bool = parameter(False, "Stop when the loss has not fallen by 0.01 % in a tenth of the steps.")
    stepsize: float = parameter(0.01, "Rate of Adam.", minimum=1e-9, maximum=1e3)

    def search(self, problem: Problem) -> Tensor:
        """The closest iterate that is misclassified with the wanted margin."""
        found = Closest(problem)
        const = torch.full_like(found.distance, self.initial_const)
        low, high = torch.zeros_like(const), torch.full_like(const, torch.inf)
        for turn in range(self.binary_search_steps):
            if turn == self.binary_search_steps - 1 and turn >= 9:
                # The original code ends with the upper bound, where success is likely.
                const = torch.minimum(high, torch.full_like(high, 1e10))
            success = self._descend(problem, const, found, turn)
            high, low = torch.where(success, const, high), torch.where(success, low, const)
            const = torch.where(high.isinf(), const * 10.0, (low + high) / 2.0)
        return found.x

    def _descend(self, whole: Problem, const: Tensor, found: Closest, turn: int) -> Tensor:
        """(B,): which inputs Adam made an error of with these values of c."""
        descent = _Descent(whole, const, self.stepsize)
        success = torch.zeros_like(const, dtype=torch.bool)
        for step in range(self.steps):
            error = descent.step(self.confidence, found)
            success[descent.rows] |= error
            if self.abort_early and (step + 1) % max(1, self.steps // 10) == 0 and not descent.go_on():
                break
            whole.progress((turn + (step + 1) / self.steps) / self.binary_search_steps)
        return success


class _Descent:
    """Adam on the change of variables of one chunk."""

    def __init__(self, problem: Problem, const: Tensor, rate: float) -> None:
        self.problem, self.const, self.rate = problem, const, rate
        self.rows = torch.arange(len(problem), device=problem.x.device)
        self.middle, self.half = (problem.box.low + problem.box.high) / 2.0, problem.box.width / 2.0
        self.origin = torch.atanh(((problem.x - self.middle) / self.half).clamp(-EDGE, EDGE))
        self.delta = torch.zeros_like(problem.x)
        self.first, self.second, self.count = torch.zeros_like(self.delta), torch.zeros_like(self.delta), 0
        self.loss = self.before = torch.full_like(const, torch.inf)

    def step(self, confidence: float, found: Closest) -> Tensor:
        """One step of Adam; returns which inputs were errors before it."""
        problem = self.problem
        position = torch.tanh(self.origin + self.delta)
        x = problem.box.clip(self.middle + self.half * position)
        logits, value, slope = problem.gradient(x, margin)
        missing = confidence + slack(logits) - value
        distance = problem.distance(x)
        self.loss = self.const * missing.clamp_min(0.0) + distance.square()
        error = missing <= 0.0
        found.offer(self.rows, x, distance, error)
        problem.record(x, -self.loss, logits)
        # A margin that is large enough has no slope; the squared distance always has one.
        pull = spread(torch.where(missing > 0.0, self.const, 0.0), slope)
        self._adam((2.0 * (x - problem.x) - pull * slope) * self.half * (1.0 - position.square()))
        return error

    def _adam(self, slope: Tensor) -> None:
        self.count += 1
        self.first = 0.9 * self.first + 0.1 * slope
        self.second = 0.999 * self.second + 0.001 * slope.square()
        first, second = self.first / (1.0 - 0.9**self.count), self.second / (1.0 - 0.999**self.count)
        self.delta = self.delta - self.rate * first / (second.sqrt() + 1e-8)

    def go_on(self) -> bool:
        """Leave out the inputs whose loss no longer falls; False when none is left."""
        keep = self.loss <= 0.9999 * self.before
        self.before = self.loss[keep]
        self.problem = self.problem.take(keep)
        for name in ("const", "rows", "origin", "delta", "first", "second", "loss"):
            setattr(self, name, getattr(self, name)[keep])
        return bool(keep.any())
