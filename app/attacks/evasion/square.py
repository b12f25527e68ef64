"""The Square attack: random search that asks the model for nothing but logits."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.evasion.base import FixedBudget, Problem, Strongest
from app.attacks.evasion.losses import margin
from app.attacks.evasion.norms import TINY, Norm, spread
from app.parameters import parameter

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries: where the share of changed values is halved."""


@dataclass(frozen=True)
class Square(FixedBudget):
    """Change the values in a random square and keep the change if the margin grows; the squares become smaller."""

    title: ClassVar[str] = "Square attack"
    source: ClassVar[str] = (
        "Andriushchenko, Croce, Flammarion and Hein, 2020, ECCV, algorithms 2 and 3. As in AutoAttack, the inputs of a "
        "batch share the place of the square and have colours of their own. Inputs that are no images are one row."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2)

    queries: int = parameter(5000, "Questions to the model for each input, at most.", minimum=1, maximum=1_000_000)
    share: float = parameter(0.8, "Share of the values that are changed at first.", minimum=1e-4, maximum=1.0)

    def search(self, problem: Problem, epsilon: float) -> Tensor:
        """The proposal with the largest margin."""
        found = Strongest(problem)
        rows, images = found.open, _Images(problem)
        delta = images.stripes(epsilon) if problem.norm is Norm.LINF else images.tiles(epsilon)
        for query in range(self.queries):
            x = images.apply(delta, epsilon)
            logits = images.problem.logits(x)
            better = margin(logits, images.problem.y) > found.margin[rows]
            images.problem.record(x, found.margin[rows], logits)
            keep = found.offer(rows, x, logits, images.problem.y)
            images.accept(delta, better)
            if not bool(keep.all()):
                rows = rows[keep]
                images.keep(keep)
            if not len(rows):
                break
            side = self._side(query, images)
            delta = images.repaint(side, epsilon) if problem.norm is Norm.LINF else images.move_mass(side, epsilon)
            problem.progress((query + 1) / self.queries)
        return found.x

    def _side(self, query: int, images: "_Images") -> tuple[int, int]:
        """Height and width of the square at this query."""
        passed = sum(int(query / self.queries * 10_000) > mark for mark in HALVINGS)
        area = self.share / 2**passed * images.height * images.width
        height = min(images.height, max(1, round(area**0.5)))
        return height, min(images.width, max(1, round(area / height)))


class _Images:
    """The inputs as (B, C, H, W) and the perturbation that each has reached."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        shape = problem.x.shape
        self.shape = shape if problem.x.ndim == 4 else (shape[0], 1, 1, problem.x[0].numel())
        self.channels, self.height, self.width = self.shape[1:]
        self.delta = torch.zeros(self.shape, dtype=problem.x.dtype, device=problem.x.device)
        # Places are drawn on the host, because asking a device for a single number stalls it.
        seed = int(torch.randint(2**31, (1,), generator=problem.generator, device=problem.x.device))
        self._places = np.random.default_rng(seed)

    def apply(self, delta: Tensor, epsilon: float) -> Tensor:
        """The inputs with a perturbation, in the ball and the box."""
        return self.problem.feasible(self.problem.x + delta.reshape(self.problem.x.shape), epsilon)

    def accept(self, delta: Tensor, better: Tensor) -> None:
        """Take over the proposals that are better."""
        self.delta = torch.where(better[:, None, None, None], delta, self.delta)

    def keep(self, keep: Tensor) -> None:
        """Go on with some of the inputs."""
        self.problem, self.delta = self.problem.take(keep), self.delta[keep]

    def stripes(self, epsilon: float) -> Tensor:
        """Vertical stripes, one column of values wide."""
        return epsilon * self._signs(self.channels, 1, self.width).expand_as(self.delta)

    def repaint(self, side: tuple[int, int], epsilon: float) -> Tensor:
        """A square of one colour (Algorithm 2)."""
        rows, columns = self._place(side)
        delta = self.delta.clone()
        delta[:, :, rows, columns] = epsilon * self._signs(self.channels, 1, 1)
        return delta

    def tiles(self, epsilon: float) -> Tensor:
        """A grid of bumps (Algorithm 3 at its start)."""
        delta = torch.zeros_like(self.delta)
        height, width = max(1, self.height // 5), max(1, self.width // 5)
        bump = self._bump(height, width)
        for top in range(0, self.height - height + 1, height):
            for left in range(0, self.width - width + 1, width):
                delta[:, :, top : top + height, left : left + width] = bump * self._signs(self.channels, 1, 1)
        return self._stretched(delta, epsilon)

    def move_mass(self, side: tuple[int, int], epsilon: float) -> Tensor:
        """Take the length of the perturbation out of one window and put it into another (Algorithm 3)."""
        height, width = min(self.height, max(side[0], 3)), min(self.width, max(side[1], 3))
        into, out_of = self._place((height, width)), self._place((height, width))
        current = self._stretched(
            self.problem.box.clip(self.problem.x.reshape(self._now) + self.delta) - self._x, epsilon
        )
        window = (slice(None), slice(None), *into)
        mask = torch.zeros(1, 1, self.height, self.width, dtype=current.dtype, device=current.device)
        mask[(slice(None), slice(None), *into)] = 1.0
        mask[(slice(None), slice(None), *out_of)] = 1.0
        taken = (current * mask).square().sum((2, 3), keepdim=True)
        unused = (epsilon**2 - current.square().sum((1, 2, 3), keepdim=True)).clamp_min(0.0) / self.channels
        old = current[window]
        old = old / old.square().sum((2, 3), keepdim=True).sqrt().clamp_min(TINY)
        new = self._bump(height, width) * self._signs(self.channels, 1, 1) + old
        new = new / new.square().sum((2, 3), keepdim=True).sqrt().clamp_min(TINY)
        delta = current.clone()
        delta[(slice(None), slice(None), *out_of)] = 0.0
        delta[window] = new * (taken + unused).sqrt()
        return self._stretched(delta, epsilon)

    @property
    def _now(self) -> tuple[int, ...]:
        return (len(self.problem), self.channels, self.height, self.width)

    @property
    def _x(self) -> Tensor:
        return self.problem.x.reshape(self._now)

    def _place(self, side: tuple[int, int]) -> tuple[slice, slice]:
        top = int(self._places.integers(self.height - side[0] + 1))
        left = int(self._places.integers(self.width - side[1] + 1))
        return slice(top, top + side[0]), slice(left, left + side[1])

    def _signs(self, *shape: int) -> Tensor:
        like = self.delta
        drawn = torch.randint(
            0, 2, (len(like), *shape), generator=self.problem.generator, device=like.device, dtype=torch.int8
        )
        return drawn.to(like.dtype) * 2.0 - 1.0

    def _bump(self, height: int, width: int) -> Tensor:
        """(height, width): two pyramids of opposite sign, of length 1 (the paper's eta)."""
        first = height // 2
        rows = [_pyramid(first, width), -_pyramid(height - first, width)] if first else [_pyramid(height, width)]
        bump = torch.cat(rows).to(self.delta)
        if self._places.random() < 0.5 and height == width:
            bump = bump.T
        return bump / torch.linalg.vector_norm(bump).clamp_min(TINY)

    @staticmethod
    def _stretched(delta: Tensor, epsilon: float) -> Tensor:
        return delta * spread(epsilon / Norm.L2.distance(delta).clamp_min(TINY), delta)


def _pyramid(height: int, width: int) -> Tensor:
    """(height, width): concentric rectangles, the inner ones higher."""
    x, y, value = height // 2 + 1, width // 2 + 1, torch.zeros(height, width)
    top, left = x - 1, y - 1
    for ring in range(max(x, y)):
        rows = slice(max(top, 0), max(top, 0) + 2 * ring + 1)
        columns = slice(max(left, 0), max(left, 0) + 2 * ring + 1)
        value[rows, columns] += 1.0 / (ring + 1) ** 2
        top, left = top - 1, left - 1
    return value
