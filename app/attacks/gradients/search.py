"""The searches that attacks by matching share: quasi-Newton with automatic restarts, and signed Adam in a box."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import Observation, Progress, Reconstruction, silent
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.optimisers import Adam, Lbfgs, decay, descend
from app.attacks.gradients.simulate import has_kinks
from app.attacks.gradients.victims import Victims, groups, stack

Prior = Callable[[Tensor], Tensor]
"""Inputs (P, B, ...) in model space to a penalty (P,)."""
CHECK = 20
"""Evaluations between two looks at which problems are done."""
POINTS = 50
"""Points of a trace."""
GAIN, STALL = 0.98, 60
"""A start whose loss does not fall to this share in this many evaluations is over: it sits on a kink of a ReLU."""
FACTOR = 300.0
"""A victim whose loss is not below this multiple of a solved one's begins anew."""
NEAR = 0.1
"""How far from the best guess a promising victim begins anew, as a share of the spread of fresh starts."""
WARM_RATE = 0.05
"""Learning rate of Adam at the beginning of a warm start, as a share of the range of the inputs."""


def solve(
    observations: Sequence[Observation], device: str, method: Callable[[Victims], list[Reconstruction]]
) -> list[Reconstruction]:
    """Each group of observations stacked and given to the method; the results in the order of the observations."""
    found: dict[int, Reconstruction] = {}
    for places in groups(observations):
        results = method(stack([observations[place] for place in places], device))
        found.update(zip(places, results, strict=True))
    return [found[place] for place in range(len(observations))]


def generator(rng: np.random.Generator, device: str | torch.device) -> torch.Generator:
    """A torch generator on the device, seeded from `rng`."""
    return torch.Generator(device).manual_seed(int(rng.integers(2**63 - 1)))


@dataclass
class Best:
    """The guess with the lowest loss that was seen for each of V victims."""

    x: Tensor
    """(V, B, ...) in model space."""
    y: Tensor
    """(V, B, K): label probabilities."""
    loss: Tensor
    """(V,)."""
    trace: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, victims: Victims) -> "Best":
        """Nothing yet."""
        like, one = victims.mean, victims.first
        x = like.new_zeros(len(victims), one.records, *one.input_shape)
        y = like.new_zeros(len(victims), one.records, one.classes)
        return cls(x, y, like.new_full((len(victims),), torch.inf))

    def offer(self, index: Tensor, x: Tensor, y: Tensor, loss: Tensor) -> None:
        """Keep what is better; several offers may be for the same victim."""
        order = torch.where(loss.isfinite(), loss, torch.inf).argsort(descending=True, stable=True)
        for row in order.tolist():
            victim = int(index[row])
            if bool(loss[row] < self.loss[victim]):
                self.loss[victim], self.x[victim], self.y[victim] = loss[row], x[row].detach(), y[row].detach()

    def note(self) -> None:
        """Add a point to the trace."""
        self.trace.append(self.loss.clone())

    def reconstructions(self, victims: Victims, note: str = "") -> list[Reconstruction]:
        """What the attack believes of every victim."""
        x, labels = victims.outside(self.x), self.y.argmax(2)
        kept = np.linspace(0, len(self.trace) - 1, min(POINTS, len(self.trace))).astype(int)
        traces = torch.stack([self.trace[turn] for turn in kept], 1).tolist() if len(kept) else [[]] * len(victims)
        return [
            Reconstruction(x[row].clone(), labels[row].clone(), float(self.loss[row]), tuple(traces[row]), note)
            for row in range(len(victims))
        ]


@dataclass(frozen=True)
class QuasiNewton:
    """L-BFGS from a random start, begun anew where it gets nowhere.

    A line search ends at the kinks of a ReLU, which Adam walks over: where there are any, Adam goes first.
    """

    evaluations: int
    """Of one start."""
    history: int
    restarts: int
    trial: int
    """Evaluations after which a start with a loss above `hopeless` is given up."""
    hopeless: float
    """Above it a victim begins anew anywhere, below it near its best guess."""
    solved: float
    """The loss at which a problem is done."""
    spread: float
    """Standard deviation of the start around the middle of the range, as a share of the range."""
    warm: int = 0
    """Evaluations of Adam before L-BFGS begins, for a model with kinks."""

    def __call__(
        self, matching: Matching, labels: Tensor | None, draw: torch.Generator, progress: Progress = silent
    ) -> Best:
        """The best guess for each victim; `labels` (V, B, K) if they are known, else they are searched for too."""
        run = _Run(self, matching, labels, draw)
        most = (1 + self.restarts) * self.evaluations
        turn = 0
        while len(run.index):
            run.advance()
            turn += 1
            if turn % CHECK == 0:
                run.review()
                progress(min(1.0, turn / most))
        progress(1.0)
        return run.best


class _Run:
    """The problems that are still worked on; one for each victim that is not done."""

    def __init__(self, search: QuasiNewton, matching: Matching, labels: Tensor | None, draw: torch.Generator) -> None:
        self.search, self.matching, self.labels, self.draw = search, matching, labels, draw
        victims = matching.victims
        self.best, self.index = Best.of(victims), torch.arange(len(victims), device=victims.mean.device)
        self.age, self.left = torch.zeros_like(self.index), torch.full_like(self.index, search.restarts)
        self.stalled, self.mark = torch.zeros_like(self.index), torch.full_like(self.best.loss, torch.inf)
        self.shape = (victims.first.records, *victims.first.input_shape)
        self.split = int(np.prod(self.shape))
        self.warm = search.warm if has_kinks(victims.client.model) else 0
        self.optimiser = Lbfgs(self.warmed(self.starts(len(victims)), self.index), search.history)

    def starts(self, count: int) -> Tensor:
        """(P, n): inputs around the middle of the range and, if they are searched for, logits of labels."""
        victims = self.matching.victims
        low, high = (edge.expand(self.shape) for edge in victims.box)
        noise = torch.randn(count, *self.shape, generator=self.draw, device=self.index.device, dtype=low.dtype)
        x = (low + high) / 2 + self.search.spread * (high - low) * noise
        if self.labels is not None:
            return x.flatten(1)
        size = (count, self.shape[0] * victims.first.classes)
        return torch.cat([x.flatten(1), torch.randn(size, generator=self.draw, device=x.device, dtype=x.dtype)], 1)

    def warmed(self, points: Tensor, index: Tensor) -> Tensor:
        """The best points (P, n) that Adam finds from the given ones; these themselves where it is not asked for."""
        low, high = (points.new_full(points.shape[1:], edge) for edge in (-torch.inf, torch.inf))
        rate = torch.full_like(low, WARM_RATE)
        for bound, edge in zip((low, high), self.matching.victims.box, strict=True):
            bound[: self.split] = edge.expand(self.shape).flatten()
        rate[: self.split] *= (high - low)[: self.split]
        return descend(lambda now: self.evaluate(now, index), points, (low, high), rate, self.warm)

    def parts(self, points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and label logits (or known probabilities) of points (P, n)."""
        x = points[:, : self.split].reshape(-1, *self.shape)
        if self.labels is not None:
            return x, self.labels[index]
        return x, points[:, self.split :].reshape(len(points), self.shape[0], -1)

    def evaluate(self, points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The losses (P,) at points (P, n) and their gradients."""
        x, y = self.parts(points, index)
        if self.labels is not None:
            loss, by_x, _ = self.matching.evaluate(x, y, index)
            return loss, by_x.flatten(1)
        chance = y.softmax(2)
        loss, by_x, by_y = self.matching.evaluate(x, chance, index)
        by_logits = chance * (by_y - (chance * by_y).sum(2, keepdim=True))
        return loss, torch.cat([by_x.flatten(1), by_logits.flatten(1)], 1)

    def advance(self) -> None:
        """One evaluation of every problem."""
        self.optimiser.tell(*self.evaluate(self.optimiser.ask(), self.index))
        self.age += 1

    def review(self) -> None:
        """Keep what is best, begin hopeless problems anew, and let go of those that are done."""
        search, loss = self.search, self.optimiser.value
        x, y = self.parts(self.optimiser.point, self.index)
        self.best.offer(self.index, x, y if self.labels is not None else y.softmax(2), loss)
        self.best.note()
        fell = loss < GAIN * self.mark
        self.mark, self.stalled = torch.where(fell, loss, self.mark), (self.stalled + CHECK) * ~fell
        lost = (self.age >= search.trial) & ~(loss <= search.hopeless)
        over = (loss <= search.solved) | lost | self.optimiser.stuck | (self.age >= search.evaluations)
        over |= self.stalled >= STALL
        again = over & (self.left[self.index] > 0) & ~(self.best.loss[self.index] <= FACTOR * search.solved)
        if bool(again.any()):
            self._begin(again)
        keep = ~over | again
        if not bool(keep.all()):
            self.optimiser.take(keep)
            for name in ("index", "age", "stalled", "mark"):
                setattr(self, name, getattr(self, name)[keep])

    def _begin(self, again: Tensor) -> None:
        """Anew at the problems of the mask: near the best guess where that is promising, else anywhere."""
        victim = self.index[again]
        self.left[victim] -= 1
        fresh = self.starts(len(victim))
        low, high = (edge.expand(self.shape).flatten() for edge in self.matching.victims.box)
        near = fresh.clone()
        middle = (low + high) / 2
        near[:, : self.split] = self.best.x[victim].flatten(1) + NEAR * (fresh[:, : self.split] - middle)
        if self.labels is None:
            near[:, self.split :] = self.best.y[victim].clamp(min=1e-12).log().flatten(1)
        promising = self.best.loss[victim] <= self.search.hopeless
        self.optimiser.begin(again, self.warmed(torch.where(promising[:, None], near, fresh), victim))
        self.age[again], self.stalled[again], self.mark[again] = 0, 0, torch.inf


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

    def __post_init__(self) -> None:
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
        total = self.matching(x, self.chance(y), self.index)
        for weight, prior in self.priors:
            total = total + weight * prior(x)
        return total

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
        names = ("x", "y", "best_x", "best_y", "best", "turn", "last_gain", "trace")
        moments = {name: dict(vars(adam)) for name, adam in (("x", self._adam), ("y", self._label_adam))}
        return {name: getattr(self, name) for name in names} | {"moments": moments}

    def restore(self, state: Mapping[str, Any]) -> "SignedAdam":
        """Go on from where `state` was taken."""
        for name, value in state.items():
            if name != "moments":
                setattr(self, name, value)
        self._adam, self._label_adam = (Adam(**state["moments"][name]) for name in ("x", "y"))
        return self

    @property
    def _is_stale(self) -> bool:
        return bool(self.patience) and self.turn - self.last_gain >= self.patience

    def _advance(self) -> None:
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
