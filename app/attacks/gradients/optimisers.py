"""Optimisers of many independent problems at once: every problem has its own state, and none disturbs another."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

DECREASE = 1e-4
"""The share of the promised decrease that a step must keep (Armijo's condition)."""
HALVINGS = 20
"""Halvings after which the direction is given up."""


@dataclass
class Adam:
    """Adam (Kingma and Ba, 2015) for variables with a leading axis of problems; the rate is given at each step."""

    first: float = 0.9
    second: float = 0.999
    tiny: float = 1e-8
    turn: int = 0
    mean: Tensor | None = None
    square: Tensor | None = None

    def move(self, slope: Tensor, rate: float) -> Tensor:
        """What to add to the variable, for its gradient `slope`."""
        if self.mean is None or self.square is None:
            self.mean, self.square = torch.zeros_like(slope), torch.zeros_like(slope)
        self.turn += 1
        self.mean.lerp_(slope, 1.0 - self.first)
        self.square.mul_(self.second).addcmul_(slope, slope, value=1.0 - self.second)
        length = (self.square / (1.0 - self.second**self.turn)).sqrt_().add_(self.tiny)
        return self.mean / length * (-rate / (1.0 - self.first**self.turn))

    def take(self, keep: Tensor) -> None:
        """Go on with the problems at `keep` (indices or mask) only."""
        if self.mean is not None and self.square is not None:
            self.mean, self.square = self.mean[keep], self.square[keep]


def descend(
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    box: tuple[Tensor, Tensor],
    rate: Tensor,
    turns: int,
) -> Tensor:
    """The best points (P, n) that Adam passes from `start` (P, n) within the box, its rate (n,) falling to zero.

    `evaluate` gives values (P,) and gradients (P, n) of points.
    """
    adam, points, kept = Adam(), start, start
    best = start.new_full((len(start),), torch.inf)
    for turn in range(turns):
        value, slope = evaluate(points)
        better = value < best
        best, kept = torch.where(better, value, best), torch.where(better[:, None], points, kept)
        move = adam.move(slope.nan_to_num(0.0, 0.0, 0.0), decay("cosine", turn / turns))
        points = torch.minimum(torch.maximum(points + rate * move, box[0]), box[1])
    return kept


def decay(schedule: str, share: float) -> float:
    """The factor of the rate after a share of the iterations."""
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * share))
    return 0.1 ** sum(share >= edge for edge in (3 / 8, 5 / 8, 7 / 8))


class Lbfgs:
    """L-BFGS (Liu and Nocedal, 1989) of P problems with n variables each; asked for a point, told its value.

    Every evaluation serves all problems: a problem whose step kept its promise goes on in a new direction, one whose
    step did not tries half of it, and neither waits for the other. A problem that finds no better point even along its
    gradient is `stuck`.
    """

    def __init__(self, start: Tensor, history: int = 50) -> None:
        """Begin at `start` (P, n)."""
        problems, size = start.shape
        self.point = start.clone()
        self.value = start.new_full((problems,), torch.inf)
        self.stuck = torch.zeros(problems, dtype=torch.bool, device=start.device)
        self._slope = torch.zeros_like(start)
        self._direction = torch.zeros_like(start)
        self._length = start.new_ones(problems)
        self._halved = torch.zeros(problems, dtype=torch.int64, device=start.device)
        # Steps come before changes of the gradient; slots are used in turn, the oldest being overwritten.
        self._pairs = start.new_zeros(problems, 2 * history, size)
        self._products = torch.zeros(problems, 2 * history, history, dtype=torch.float64, device=start.device)
        # Products of all that is kept with the gradient.
        self._along = torch.zeros(problems, 2 * history, dtype=torch.float64, device=start.device)
        self._known = torch.zeros_like(self._halved)

    def ask(self) -> Tensor:
        """(P, n): the points to evaluate next."""
        return self.point + self._length[:, None] * self._direction

    def tell(self, value: Tensor, slope: Tensor) -> Tensor:
        """Values (P,) and gradients (P, n) of the points asked for; returns the mask of those that were accepted."""
        promised = DECREASE * self._length * (self._slope * self._direction).sum(1)
        fine = value.isfinite() & slope.isfinite().all(1)
        good = fine & (value.isinf() | self.value.isinf() | (value <= self.value + promised)) & ~self.stuck
        self._accept(good, value, slope)
        self._refuse(~good)
        return good

    def begin(self, rows: Tensor, start: Tensor) -> None:
        """Begin the problems at `rows` (mask) anew at `start` (their number, n)."""
        for tensor in (self._slope, self._direction, self._pairs, self._products, self._along):
            tensor[rows] = 0.0
        self.point[rows], self.value[rows], self._length[rows] = start, torch.inf, 1.0
        self.stuck[rows], self._halved[rows], self._known[rows] = False, 0, 0

    def take(self, keep: Tensor) -> None:
        """Go on with the problems at `keep` (indices or mask) only."""
        for name, tensor in vars(self).items():
            setattr(self, name, tensor[keep])

    def _accept(self, good: Tensor, value: Tensor, slope: Tensor) -> None:
        step = (self._length * good)[:, None] * self._direction
        slope = torch.where(good[:, None], slope, self._slope)
        self._remember(good & self.value.isfinite(), step, slope)
        self.point += step
        self.value, self._slope = torch.where(good, value, self.value), slope
        direction = -self._scaled()
        uphill = ~((direction * slope).sum(1) < 0)
        self._direction = torch.where(good[:, None], direction, self._direction)
        self._length = torch.where(good, 1.0, self._length)
        self._halved *= ~good
        self._forget(good & (uphill | (self._known == 0)))

    def _refuse(self, bad: Tensor) -> None:
        self._length = torch.where(bad, 0.5 * self._length, self._length)
        self._halved += bad
        spent = bad & (self._halved > HALVINGS)
        self.stuck |= spent & (self._known == 0)
        self._forget(spent)

    def _forget(self, rows: Tensor) -> None:
        """Begin again along the gradient, with a first step as long as that of torch.optim.LBFGS."""
        self._known *= ~rows
        self._direction = torch.where(rows[:, None], -self._slope, self._direction)
        self._length = torch.where(rows, 1.0 / self._slope.abs().sum(1).clamp(min=1.0), self._length)
        self._halved *= ~rows

    def _remember(self, rows: Tensor, step: Tensor, slope: Tensor) -> None:
        """Keep the step and the change of the gradient where the curvature along the step is positive.

        What is kept is read once: its products with the change are differences of its products with the gradients.
        """
        change, history = slope - self._slope, self._products.shape[2]
        curvature = (step * change).sum(1)
        rows = (rows & (curvature > 1e-10 * change.square().sum(1))).nonzero()[:, 0]
        place = self._known[rows] % history
        before = self._along.clone()
        for slot, part in ((place, step), (history + place, change)):
            self._pairs[rows, slot] = part[rows]
            before[rows, slot] = (part * self._slope).sum(1).double()[rows]
        found = torch.bmm(self._pairs, torch.stack([step, slope], 2)).double()
        self._along = found[:, :, 1]
        with_change = (self._along - before)[rows]
        self._products[rows, :, place] = with_change
        self._products[rows, place] = found[rows, history:, 0]
        self._products[rows, history + place] = with_change[:, history:]
        self._known[rows] += 1

    def _scaled(self) -> Tensor:
        """The inverse Hessian times the gradient, in the compact form of Byrd, Nocedal and Schnabel (1994, eq. 3.1)."""
        history = self._products.shape[2]
        slots = torch.arange(history, device=self.point.device)
        there = slots < self._known[:, None]
        full = (self._known >= history)[:, None]
        # From the oldest to the newest.
        order = torch.where(full, (self._known[:, None] + slots) % history, slots)
        curved = _ordered(self._products[:, :history], order) * there[:, :, None] * there[:, None]
        changed = _ordered(self._products[:, history:], order) * there[:, :, None] * there[:, None]
        diagonal = curved.diagonal(dim1=1, dim2=2)
        last = (self._known.clamp(max=history) - 1).clamp(min=0)[:, None]
        scale = torch.where(self._known > 0, (diagonal / changed.diagonal(dim1=1, dim2=2)).gather(1, last)[:, 0], 1.0)
        upper = curved.triu() + torch.diag_embed(~there * 1.0)
        steps, changes = (part.gather(1, order) * there for part in self._along.split(history, 1))
        inner = torch.linalg.solve_triangular(upper, steps[:, :, None], upper=True)
        outer = diagonal[:, :, None] * inner + scale[:, None, None] * (changed @ inner - changes[:, :, None])
        outer = torch.linalg.solve_triangular(upper.mT, outer, upper=False)
        shares = torch.cat([_unordered(outer, order), _unordered(-scale[:, None, None] * inner, order)], 1)
        result = torch.bmm(shares[:, None].to(self.point), self._pairs)[:, 0]
        return result + scale[:, None].to(self.point) * self._slope


def _ordered(products: Tensor, order: Tensor) -> Tensor:
    """(P, m, m) with rows and columns in the given order (P, m)."""
    size = order.shape[1]
    rows = products.gather(1, order[:, :, None].expand(-1, -1, size))
    return rows.gather(2, order[:, None].expand(-1, size, -1))


def _unordered(values: Tensor, order: Tensor) -> Tensor:
    """(P, m): values (P, m, 1) put back into their slots."""
    return torch.zeros_like(values[:, :, 0]).scatter(1, order, values[:, :, 0])
