"""The security evaluation curve: how many inputs stay correctly classified, by the size of the perturbation.

The curve is exact with respect to what was found. Each input has one number, the distance of the closest error that
any run has found for it, and counts as robust at every epsilon below that distance. So the curve can only fall, and
it does not depend on the order of the epsilons.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app import metrics
from app.attacks.evasion.base import (
    Box,
    FixedBudget,
    MinimumDistance,
    Model,
    Progress,
    chunks,
    part,
    predictions,
    silent,
)
from app.attacks.evasion.norms import Norm

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TOLERANCE = 1e-6
"""Share of epsilon by which a distance may exceed it: projections end within rounding of the edge of the ball."""
LEVELS = ("low", "medium", "high")
BOUNDS = (0.33, 0.66)
FORMULA = (
    "The value is the mean accuracy over the listed perturbation sizes, the size 0 included, divided by the accuracy "
    "at size 0. Up to 0.33 the level is low, up to 0.66 medium, above that high. A model that is never right has the "
    "value 0. The value depends on the listed sizes and says nothing about the accuracy at size 0."
)


@dataclass(frozen=True)
class SecurityCurve:
    """How many of the inputs are robust at each epsilon."""

    epsilons: Floats
    """(E,): ascending, without repeats; the first one is 0."""
    distance: Floats
    """(N,): the smallest perturbation known to break each input; 0 when it is misclassified as it is, infinite when
    nothing was found."""

    @property
    def samples(self) -> int:
        """N, the number of inputs."""
        return len(self.distance)

    @property
    def robust(self) -> Integers:
        """(E,): how many inputs withstand everything that was found within each epsilon."""
        return (self.distance[None, :] > (self.epsilons * (1.0 + TOLERANCE))[:, None]).sum(1)

    @property
    def accuracy(self) -> Floats:
        """(E,): the share of robust inputs; it never rises. Without inputs it is 0."""
        return self.robust / max(1, self.samples)

    @property
    def low(self) -> Floats:
        """(E,): lower ends of Wilson's 95 % intervals of the accuracy."""
        return np.array([metrics.wilson(count, self.samples)[0] for count in self.robust])

    @property
    def high(self) -> Floats:
        """(E,): upper ends of Wilson's 95 % intervals of the accuracy."""
        return np.array([metrics.wilson(count, self.samples)[1] for count in self.robust])

    @property
    def value(self) -> float:
        """The mean accuracy as a share of the clean one, in [0, 1]; `FORMULA` says it in words."""
        accuracy = self.accuracy
        return float(accuracy.mean() / accuracy[0]) if accuracy[0] > 0.0 else 0.0

    @property
    def level(self) -> str:
        """The value in one word: low, medium or high."""
        return LEVELS[bisect_left(BOUNDS, self.value)]


@dataclass(frozen=True)
class Evaluation:
    """A curve and the inputs that prove it."""

    curve: SecurityCurve
    adversarial: Tensor
    """(N, ...): the closest error found for each input; the input itself where none was found or none was needed."""
    epsilon: Floats
    """(N,): the epsilon at which an input was first broken; NaN where it was not. Its own distance when the attack
    minimises the distance."""
    attempt: Tensor
    """(N, ...): the last attempt on each input, successful or not."""


def evaluate(  # noqa: PLR0913 (the question, the threat model and the surroundings of the run.)
    attack: FixedBudget | MinimumDistance,
    model: Model,
    x: Tensor,
    y: Tensor,
    epsilons: Sequence[float],
    norm: Norm,
    box: Box,
    rng: np.random.Generator,
    progress: Progress = silent,
    batch: int = 0,
) -> Evaluation:
    """The security curve of `model` on the inputs `x` (N, ...) with classes `y` (N,).

    `epsilons` may stand in any order; 0 is added. An attack with a fixed budget runs once for each of them, on the
    inputs that are still unbroken; one that minimises the distance runs once. Raises ValueError when an epsilon is
    negative or not finite, and what the attack raises.
    """
    grid = sizes(epsilons)
    search = _Search(model, x.detach(), y, norm, batch)
    if isinstance(attack, MinimumDistance):
        rows = search.unbroken
        if len(rows):
            found = attack.minimise(model, x[rows], y[rows], norm, box, rng, progress, None, batch, grid[1:].tolist())
            search.add(rows, found)
        return search.evaluation(grid)
    for turn, epsilon in enumerate(grid[1:]):
        told = part(progress, turn / (len(grid) - 1), (turn + 1) / (len(grid) - 1))
        rows = search.unbroken
        if len(rows):
            found = attack.perturb(model, x[rows], y[rows], float(epsilon), norm, box, rng, told, None, batch)
            search.add(rows, found, float(epsilon))
    progress(1.0)
    return search.evaluation(grid)


def sizes(epsilons: Sequence[float]) -> Floats:
    """The perturbation sizes in ascending order, without repeats and with 0 in front."""
    grid = np.unique(np.concatenate([[0.0], np.asarray(epsilons, np.float64)]))
    if not np.isfinite(grid).all() or grid[0] < 0.0:
        raise ValueError("every perturbation size must be finite and not negative")
    return grid


def merged(first: SecurityCurve, second: SecurityCurve) -> SecurityCurve:
    """The curve of everything that two runs on the same inputs have found."""
    if first.samples != second.samples:
        raise ValueError(f"{first.samples} inputs cannot be merged with {second.samples}")
    return SecurityCurve(sizes([*first.epsilons, *second.epsilons]), np.minimum(first.distance, second.distance))


class _Search:
    """What is known about each input so far; everything that comes in is predicted again."""

    def __init__(self, model: Model, x: Tensor, y: Tensor, norm: Norm, batch: int) -> None:
        self.model, self.x, self.y, self.norm, self.batch = model, x, y, norm, batch
        self.distance = np.where((predictions(model, x, batch) == y).cpu().numpy(), np.inf, 0.0)
        self.epsilon = np.where(np.isinf(self.distance), np.nan, 0.0)
        self.adversarial, self.attempt = x.clone(), x.clone()

    @property
    def unbroken(self) -> Tensor:
        return torch.from_numpy(np.flatnonzero(np.isinf(self.distance))).to(self.x.device)

    def length(self, rows: Tensor, found: Tensor) -> Floats:
        """(B,) distances, in double precision so that a sum over many values does not move them."""
        parts = [self.norm.distance(found[c].double() - self.x[rows[c]].double()) for c in chunks(found, self.batch)]
        return torch.cat(parts).cpu().numpy()

    def add(self, rows: Tensor, found: Tensor, epsilon: float = np.inf) -> None:
        """Take over what a run within `epsilon` has found; the attack has put it into that ball.

        Adding a perturbation to an input rounds, by more than the tolerance when the perturbation is small. An error
        that was projected onto the ball of radius epsilon must count at epsilon, so that its distance ends there.
        """
        length = np.minimum(self.length(rows, found), epsilon)
        error = predictions(self.model, found, self.batch) != self.y[rows]
        self.attempt[rows] = found
        self.adversarial[rows[error]] = found[error]
        broken, index = error.cpu().numpy(), rows.cpu().numpy()
        self.distance[index[broken]] = length[broken]
        self.epsilon[index[broken]] = length[broken] if np.isinf(epsilon) else epsilon

    def evaluation(self, grid: Floats) -> Evaluation:
        return Evaluation(SecurityCurve(grid, self.distance), self.adversarial, self.epsilon, self.attempt)
