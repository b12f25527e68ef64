"""The search of attacks by matching of gradients: L-BFGS with automatic restarts, after Adam where slopes jump."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients import gauss_newton
from app.attacks.gradients.base import Progress, silent
from app.attacks.gradients.best import Best
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.optimisers import Lbfgs, descend
from app.attacks.gradients.search import CHECK
from app.attacks.gradients.simulate import has_kinks, one_hot

GAIN, STALL = 0.98, 60
"""A start whose loss does not fall to this share in this many evaluations is over: it sits on a kink of a ReLU."""
FACTOR = 300.0
"""A victim whose loss is not below this multiple of a solved one's begins anew."""
KINKED = 3e-5
"""With kinks it does so above this loss: where a search ends there or lower, a further one gains little."""
HOPEFUL = 0.05
"""With kinks a start is not hopeless below this loss: with a label that is not certain yet it stays high for long."""
NEAR = 0.1
"""How far from the best guess a promising victim begins anew, as a share of the spread of fresh starts."""
WARM_RATE = 0.05
"""Learning rate of Adam at the beginning of a warm start, as a share of the range of the inputs."""
TURNS, ROUNDS, WORTH = 30, 3, 0.1
"""Evaluations for each whitening, how often there is one, and the share of the loss to fall to for a further one."""
DEEPER = 0.1
"""The share of a solved loss at which a whitened search ends: a few evaluations more gain what its damping left."""
SURE, UNSURE = 1e-12, 1e-3
"""Chances of the other labels once a label counts as known, and when it is searched for again near a guess."""


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
    ripe: float = 0.0
    """The loss from which the search goes on in coordinates that the Gauss-Newton matrix whitens, without kinks."""

    def __call__(
        self, matching: Matching, labels: Tensor | None, draw: torch.Generator, progress: Progress = silent
    ) -> Best:
        """The best guess for each victim; `labels` (V, B, K) if they are known, else they are searched for too."""
        run = _Run(self, matching, labels, draw, progress)
        while len(run.index):
            for _ in range(CHECK):
                run.advance()
            run.review()
        progress(1.0)
        return run.best


class _Run:
    """The problems that are still worked on; one for each victim that is not done."""

    def __init__(
        self, search: QuasiNewton, matching: Matching, labels: Tensor | None, draw: torch.Generator, progress: Progress
    ) -> None:
        self.search, self.matching, self.labels, self.draw = search, matching, labels, draw
        victims = matching.victims
        self.best, self.index = Best.of(victims), torch.arange(len(victims), device=victims.mean.device)
        self.age, self.left = torch.zeros_like(self.index), torch.full_like(self.index, search.restarts)
        self.stalled, self.mark = torch.zeros_like(self.index), torch.full_like(self.best.loss, torch.inf)
        self.shape = (victims.first.records, *victims.first.input_shape)
        self.split = int(np.prod(self.shape))
        kinks = has_kinks(victims.client.model)
        self.warm = search.warm if kinks else 0
        self.enough = max(FACTOR * search.solved, KINKED if kinks else 0.0)
        unknowns = self.split + (self.shape[0] * victims.first.classes if labels is None else 0)
        self.ripe = search.ripe if not kinks and gauss_newton.fits(matching, unknowns) else 0.0
        self.hopeless = max(search.hopeless, HOPEFUL if kinks else 0.0)
        self.turn, self.most, self.progress = 0, (1 + search.restarts) * (self.warm + search.evaluations), progress
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
        if not self.warm:
            return points
        low, high = (points.new_full(points.shape[1:], edge) for edge in (-torch.inf, torch.inf))
        rate = torch.full_like(low, WARM_RATE)
        for bound, edge in zip((low, high), self.matching.victims.box, strict=True):
            bound[: self.split] = edge.expand(self.shape).flatten()
        rate[: self.split] *= (high - low)[: self.split]

        def evaluate(now: Tensor) -> tuple[Tensor, Tensor]:
            loss, slope = self.evaluate(now, index)
            if self.turn % CHECK == 0:
                self.keep(index, now, loss)
            return loss, slope

        return self.settled(descend(evaluate, points, (low, high), rate, self.warm))

    def settled(self, points: Tensor) -> Tensor:
        """The points with every label that is likelier than all others together taken for certain.

        The softmax of logits comes near a label at infinity only, and what is missing holds the inputs back.
        """
        if self.labels is not None:
            return points
        x, logits = self.parts(points, self.index)
        most, label = logits.softmax(2).max(2)
        whole = one_hot(label, logits.shape[2], logits.dtype).clamp(min=SURE).log()
        logits = torch.where((most > 0.5)[:, :, None], whole, logits)
        return torch.cat([x.flatten(1), logits.flatten(1)], 1)

    def parts(self, points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and label logits (or known probabilities) of points (P, n)."""
        x = points[:, : self.split].reshape(-1, *self.shape)
        if self.labels is not None:
            return x, self.labels[index]
        return x, points[:, self.split :].reshape(len(points), self.shape[0], -1)

    def evaluate(self, points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The losses (P,) at points (P, n) and their gradients."""
        self.turn += 1
        x, y = self.parts(points, index)
        if self.labels is not None:
            loss, by_x, _ = self.matching.evaluate(x, y, index)
            return loss, by_x.flatten(1)
        chance = y.softmax(2)
        loss, by_x, by_y = self.matching.evaluate(x, chance, index)
        by_logits = chance * (by_y - (chance * by_y).sum(2, keepdim=True))
        return loss, torch.cat([by_x.flatten(1), by_logits.flatten(1)], 1)

    def residuals(self, points: Tensor, index: Tensor) -> Tensor:
        """(P, m): whose squares sum to the losses at points (P, n)."""
        x, y = self.parts(points, index)
        return gauss_newton.residuals(self.matching, x, y if self.labels is not None else y.softmax(2), index)

    def keep(self, index: Tensor, points: Tensor, loss: Tensor) -> None:
        """Keep what is better than before, and tell how far the search is."""
        x, y = self.parts(points, index)
        self.best.offer(index, x, y if self.labels is not None else y.softmax(2), loss)
        self.best.note()
        self.progress(min(1.0, self.turn / self.most))

    def advance(self) -> None:
        """One evaluation of every problem."""
        self.optimiser.tell(*self.evaluate(self.optimiser.ask(), self.index))
        self.age += 1

    def review(self) -> None:
        """Keep what is best, begin hopeless problems anew, and let go of those that are done."""
        search, loss = self.search, self.optimiser.value
        self.keep(self.index, self.optimiser.point, loss)
        fell = loss < GAIN * self.mark
        self.mark, self.stalled = torch.where(fell, loss, self.mark), (self.stalled + CHECK) * ~fell
        lost = (self.age >= search.trial) & ~(loss <= self.hopeless)
        over = (loss <= search.solved) | lost | self.optimiser.stuck | (self.age >= search.evaluations)
        over |= self.stalled >= STALL
        ripe = (loss <= self.ripe) & (loss > search.solved)
        if bool(ripe.any()):
            self._polish(ripe)
        over |= ripe
        again = over & (self.left[self.index] > 0) & ~(self.best.loss[self.index] <= self.enough)
        if bool(again.any()):
            self._begin(again)
        keep = ~over | again
        if not bool(keep.all()):
            self.optimiser.take(keep)
            for name in ("index", "age", "stalled", "mark"):
                setattr(self, name, getattr(self, name)[keep])

    def _polish(self, ripe: Tensor) -> None:
        """Go on from the points of the mask in whitened coordinates, as many at a time as there is room for."""
        size, solved = self.optimiser.point.shape[1], self.search.solved
        room = max(1, self.matching.memory // (2 * size**2 * self.optimiser.point.element_size()))
        for rows in ripe.nonzero()[:, 0].split(room):
            index, loss = self.index[rows], self.optimiser.value[rows]
            points = self.settled(self.optimiser.point[rows])
            for _ in range(ROUNDS):
                points, now = gauss_newton.descend(self.evaluate, self.residuals, points, index, TURNS, DEEPER * solved)
                self.keep(index, points, now)
                on = (now > solved) & (now < WORTH * loss)
                points, index, loss = points[on], index[on], now[on]
                if not len(index):
                    break

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
            least = UNSURE if self.warm else SURE
            near[:, self.split :] = self.best.y[victim].clamp(min=least).log().flatten(1)
        promising = self.best.loss[victim] <= self.hopeless
        self.optimiser.begin(again, self.warmed(torch.where(promising[:, None], near, fresh), victim))
        self.age[again], self.stalled[again], self.mark[again] = 0, 0, torch.inf
