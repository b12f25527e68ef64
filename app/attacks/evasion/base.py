"""What every evasion attack is, and the wrapper that verifies what it returns.

There are two kinds. A `FixedBudget` attack looks for an error within a given distance; a `MinimumDistance` attack looks
for the closest error. The public methods cut the inputs into chunks, leave out inputs that are misclassified as they
are, and put what comes back into the ball and the box, so that no attack can cheat, not even by accident.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.evasion.losses import Loss, margin
from app.attacks.evasion.norms import Norm
from app.attacks.evasion.traces import Trace

Model = Callable[[Tensor], Tensor]
"""Inputs (B, ...) to logits (B, K); differentiable, and the same for the same input."""
Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""

CHUNK_VALUES, CHUNK_ROWS = 1 << 22, 512
"""The most input values and inputs that are worked on at a time: 27 images of 3 x 224 x 224, 512 small ones."""
SLACK = 1e-3
"""The margin that an error must have before an attack stops working on it, in logits or, if that is less, as a share
of the spread of the logits. Two implementations of one model differ by up to 1e-4: such an error holds in both."""


def silent(share: float) -> None:
    """Progress that nobody watches."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """Progress of a step that takes the work from share `start` to share `end`."""
    return lambda share: progress(start + (end - start) * share)


@dataclass(frozen=True)
class Box:
    """The range of valid input values."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high < np.inf or self.low == -np.inf:
            raise ValueError(f"the range of the inputs [{self.low}, {self.high}] is empty or not finite")

    @property
    def width(self) -> float:
        """How far an input value can move."""
        return self.high - self.low

    def clip(self, x: Tensor) -> Tensor:
        """The nearest valid input."""
        return x.clamp(self.low, self.high)


@dataclass(frozen=True)
class Problem:
    """The inputs that an attack works on at a time, all of them classified correctly."""

    model: Model
    x: Tensor
    y: Tensor
    norm: Norm
    box: Box
    generator: torch.Generator
    rows: Tensor
    """(B,): where the inputs stand in the whole set, for the trace."""
    progress: Progress = silent
    trace: Trace | None = None
    target: Tensor | None = None
    """(B,): the wrong class that a targeted attack aims at."""
    sizes: tuple[float, ...] = ()
    """Distances at which the result will be read; a search for the closest error may look harder just beyond them."""

    def __len__(self) -> int:
        """The number of inputs."""
        return len(self.x)

    def logits(self, x: Tensor) -> Tensor:
        """(B, K) logits without a gradient."""
        with torch.no_grad():
            return self.model(x)

    def gradient(self, x: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, K), loss (B,) and the gradient (B, ...) of each row's loss by its input."""
        return gradient(self.model, x, lambda logits: loss(logits, self.y, self.target))

    def feasible(self, x: Tensor, epsilon: Tensor | float) -> Tensor:
        """The inputs `x` put into the ball around the originals, then into the box, which never leaves the ball."""
        return self.box.clip(self.x + self.norm.project(x - self.x, epsilon))

    def distance(self, x: Tensor) -> Tensor:
        """(B,): how far the inputs `x` are from the originals."""
        return self.norm.distance(x - self.x)

    def take(self, keep: Tensor, target: Tensor | None = None) -> "Problem":
        """The problem of the inputs at `keep` (indices or mask), aimed at `target` if one is given."""
        aim = target if target is not None or self.target is None else self.target[keep]
        return replace(self, x=self.x[keep], y=self.y[keep], rows=self.rows[keep], target=aim)

    def reporting(self, progress: Progress, trace: Trace | None = None) -> "Problem":
        """The same problem, told whom to report to; without a trace it keeps the one it has."""
        return replace(self, progress=progress, trace=trace or self.trace)

    def record(self, x: Tensor, loss: Tensor, logits: Tensor) -> None:
        """Tell the trace, if there is one, about one iteration."""
        if self.trace is not None:
            self.trace.record(self.rows, loss, self.distance(x), logits)


class Strongest:
    """The perturbed input with the largest margin that was found for each input of a problem."""

    def __init__(self, problem: Problem) -> None:
        """Begin with the originals."""
        self.x = problem.x.clone()
        self.margin = torch.full_like(problem.y, -torch.inf, dtype=problem.x.dtype)
        self._safe = torch.zeros_like(problem.y, dtype=torch.bool)
        self._endless = problem.trace is not None

    def offer(self, rows: Tensor, x: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        """Keep what is stronger; returns the mask (of `rows`) of the inputs that need more work."""
        found = margin(logits, y)
        better = found > self.margin[rows]
        self.margin[rows[better]] = found[better]
        self.x[rows[better]] = x[better]
        self._safe[rows] |= is_safe(logits, found)
        return torch.ones_like(better) if self._endless else ~self._safe[rows]

    @property
    def open(self) -> Tensor:
        """Indices of the inputs for which no error with a safe margin is known."""
        return (~self._safe).nonzero()[:, 0]


class Closest:
    """The misclassified input nearest to each original of a problem; the original where there is none."""

    def __init__(self, problem: Problem) -> None:
        """Begin with nothing found."""
        self.x = problem.x.clone()
        self.distance = torch.full_like(problem.y, torch.inf, dtype=problem.x.dtype)

    def offer(self, rows: Tensor, x: Tensor, distance: Tensor, error: Tensor) -> None:
        """Keep the errors that are closer than what is known; `error` (B,) says which of `x` are misclassified."""
        better = error & (distance < self.distance[rows])
        self.distance[rows[better]] = distance[better]
        self.x[rows[better]] = x[better]


class _Attack(ABC):
    title: ClassVar[str]
    source: ClassVar[str]
    """Authors, year, venue; and which variant this is."""
    norms: ClassVar[tuple[Norm, ...]]

    def _problems(
        self, model: Model, inputs: tuple[Tensor, Tensor], norm: Norm, box: Box, rng: np.random.Generator, batch: int
    ) -> Iterator[Problem]:
        """The correctly classified inputs of each chunk."""
        x, y = inputs
        self._check(x, y, norm, box)
        generator = torch.Generator(x.device).manual_seed(int(rng.integers(2**63 - 1)))
        for rows in chunks(x, batch):
            with torch.no_grad():
                right = model(x[rows]).argmax(1) == y[rows]
            rows = rows[right]
            if len(rows):
                yield Problem(model, x[rows].detach(), y[rows], norm, box, generator, rows)

    def _check(self, x: Tensor, y: Tensor, norm: Norm, box: Box) -> None:
        if norm not in self.norms:
            raise ValueError(f"{self.title} knows the norms {', '.join(self.norms)}, not {norm}")
        if len(x) != len(y) or y.ndim != 1 or y.dtype != torch.int64:
            raise ValueError(f"{len(x)} inputs need as many labels (int64), not {tuple(y.shape)} of {y.dtype}")
        if len(x) and not (box.low <= float(x.min()) and float(x.max()) <= box.high):
            raise ValueError(f"the inputs leave the range [{box.low}, {box.high}] or are not numbers")


class FixedBudget(_Attack):
    """An attack that looks for an error within a distance: a frozen dataclass whose fields are its hyperparameters."""

    def perturb(  # noqa: PLR0913 (the question, the threat model and the surroundings of the run.)
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        epsilon: float,
        norm: Norm,
        box: Box,
        rng: np.random.Generator,
        progress: Progress = silent,
        trace: Trace | None = None,
        batch: int = 0,
    ) -> Tensor:
        """The strongest inputs found within `epsilon` of `x` (B, ...) and inside the box, shaped as `x`.

        Inputs that are misclassified as they are stay as they are. `batch` is the number of inputs worked on at a time;
        0 chooses one that fits into memory. Raises ValueError when norm, labels or inputs do not fit.
        """
        if not 0.0 <= epsilon < np.inf:
            raise ValueError(f"epsilon must be finite and not negative, not {epsilon}")
        result = x.detach().clone()
        for problem in self._problems(model, (x, y), norm, box, rng, batch):
            if epsilon == 0.0:
                break
            watched = problem.reporting(_share(problem, progress, len(x)), trace)
            result[problem.rows] = problem.feasible(finite(self.search(watched, epsilon), problem.x), epsilon)
        progress(1.0)
        return result

    @abstractmethod
    def search(self, problem: Problem, epsilon: float) -> Tensor:
        """The strongest inputs found, shaped as `problem.x`; `perturb` puts them into the ball and the box."""


class MinimumDistance(_Attack):
    """An attack that looks for the closest error: a frozen dataclass whose fields are its hyperparameters."""

    def minimise(  # noqa: PLR0913 (the question, the threat model and the surroundings of the run.)
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        norm: Norm,
        box: Box,
        rng: np.random.Generator,
        progress: Progress = silent,
        trace: Trace | None = None,
        batch: int = 0,
        sizes: Sequence[float] = (),
    ) -> Tensor:
        """The closest error found for each of `x` (B, ...), inside the box; `x` itself where there is none.

        What is returned was predicted again. `sizes` are the distances at which the result will be read, if that is
        known. `batch` and errors are those of `FixedBudget.perturb`.
        """
        result = x.detach().clone()
        for problem in self._problems(model, (x, y), norm, box, rng, batch):
            watched = replace(problem.reporting(_share(problem, progress, len(x)), trace), sizes=tuple(sizes))
            found = box.clip(finite(self.search(watched), problem.x))
            error = problem.logits(found).argmax(1) != problem.y
            result[problem.rows[error]] = found[error]
        progress(1.0)
        return result

    @abstractmethod
    def search(self, problem: Problem) -> Tensor:
        """The closest errors found, shaped as `problem.x`; `minimise` drops what is not misclassified."""


def gradient(model: Model, x: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, loss per row and each row's gradient by its input, 0 where it is not finite."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        logits = model(leaf)
        losses = loss(logits)
        slope = None
        if losses.requires_grad:
            (slope,) = torch.autograd.grad(losses.sum(), leaf, allow_unused=True)
    if slope is None:
        # A model that rounds or draws its output on the way is not differentiable; `honesty` tells so.
        slope = torch.zeros_like(x)
    return logits.detach(), losses.detach(), torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)


def is_safe(logits: Tensor, margins: Tensor) -> Tensor:
    """Which rows are misclassified with a margin that other implementations of the model share."""
    return margins >= slack(logits)


def slack(logits: Tensor) -> Tensor:
    """(B,): the margin from which on an error is safe; always positive."""
    return SLACK * (logits.amax(1) - logits.amin(1)).clamp(torch.finfo(logits.dtype).tiny, 1.0)


def chunks(x: Tensor, batch: int = 0) -> tuple[Tensor, ...]:
    """Indices of the inputs that are worked on at a time; `batch` 0 chooses by their size."""
    size = batch or max(1, min(CHUNK_ROWS, CHUNK_VALUES // max(1, x[0].numel()))) if len(x) else 1
    return tuple(torch.arange(len(x), device=x.device).split(size))


def predictions(model: Model, x: Tensor, batch: int = 0) -> Tensor:
    """(B,): the class with the highest logit of each input."""
    with torch.no_grad():
        found = [model(x[rows]).argmax(1) for rows in chunks(x, batch)]
    return torch.cat(found) if found else torch.empty(0, dtype=torch.int64, device=x.device)


def _share(problem: Problem, progress: Progress, total: int) -> Progress:
    """The progress of one chunk of all inputs."""
    return part(progress, int(problem.rows[0]) / total, (int(problem.rows[-1]) + 1) / total)


def finite(x: Tensor, otherwise: Tensor) -> Tensor:
    """The rows of `x`, and those of `otherwise` where a value of the row is not a number."""
    fine = x.flatten(1).isfinite().all(1)
    return torch.where(fine.reshape(-1, *[1] * (x.ndim - 1)), x, otherwise)
