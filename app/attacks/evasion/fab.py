"""The fast adaptive boundary attack."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.attacks.evasion.base import Box, Closest, MinimumDistance, Problem, is_safe, part, slack
from app.attacks.evasion.losses import margin, runners_up
from app.attacks.evasion.norms import TINY, Norm, spread
from app.parameters import parameter


@dataclass(frozen=True)
class Fab(MinimumDistance):
    """Step onto the linearised boundary to a class, drawn towards the input, and step back when it is crossed."""

    title: ClassVar[str] = "Fast adaptive boundary, targeted"
    source: ClassVar[str] = (
        "Croce and Hein, 2020, ICML (Minimally distorted adversarial examples with a fast adaptive boundary attack), "
        "algorithm 1, in the targeted form of AutoAttack (FAB-T): one run for each of the wrong classes with the "
        "highest logits, exact projections within the box (section 3.1), no final search."
    )
    norms: ClassVar[tuple[Norm, ...]] = (Norm.LINF, Norm.L2, Norm.L1)

    steps: int = parameter(100, "Gradient steps for each target and start.", minimum=1, maximum=10_000)
    targets: int = parameter(9, "Wrong classes that are aimed at.", minimum=1, maximum=1000)
    restarts: int = parameter(1, "Starts; all but the first one are random.", minimum=1, maximum=100)
    alpha_max: float = parameter(0.1, "The most that a step is drawn towards the input.", minimum=0.0, maximum=1.0)
    eta: float = parameter(1.05, "How far a step goes beyond the linearised boundary.", minimum=1.0, maximum=10.0)
    beta: float = parameter(0.9, "How much of the way is left after the step back.", minimum=0.0, maximum=1.0)

    def search(self, problem: Problem) -> Tensor:
        """The closest iterate that is misclassified with a safe margin."""
        found, every = Closest(problem), torch.arange(len(problem), device=problem.x.device)
        wrong = runners_up(problem.logits(problem.x), problem.y, self.targets)
        runs = [(target, restart) for restart in range(self.restarts) for target in wrong.T]
        for turn, (target, restart) in enumerate(runs):
            told = part(problem.progress, turn / len(runs), (turn + 1) / len(runs))
            aimed = problem.take(every, target).reporting(told)
            self._run(aimed, self._start(aimed, found) if restart else problem.x, found)
        return found.x

    def _start(self, problem: Problem, found: Closest) -> Tensor:
        """A random point half as far away as the closest error, or as the width of the box where there is none."""
        widest = problem.norm.distance(torch.full_like(problem.x, problem.box.width))
        length = torch.minimum(found.distance, widest) / 2.0
        direction = problem.norm.random(problem.x, 1.0, problem.generator)
        reach = length / problem.norm.distance(direction).clamp_min(TINY)
        return problem.box.clip(problem.x + spread(reach, direction) * direction)

    def _run(self, problem: Problem, x: Tensor, found: Closest) -> None:
        """Algorithm 1 for one target, with all inputs at once."""
        norm, box, rows = problem.norm, problem.box, torch.arange(len(problem), device=x.device)
        for step in range(self.steps):
            logits, value, slope = problem.gradient(x, margin)
            problem.record(x, value, logits)
            # The plane on which the linearised margin is safe, as seen from the iterate and from the input.
            missing = slack(logits) - value
            here = onto_plane(x, slope, missing, norm, box)
            offset = (slope * (problem.x - x)).flatten(1).sum(1)
            there = onto_plane(problem.x, slope, missing - offset, norm, box)
            near, far = norm.distance(here).clamp_min(1e-8), norm.distance(there).clamp_min(1e-8)
            alpha = spread((near / (near + far)).clamp_max(self.alpha_max), x)
            x = box.clip((1.0 - alpha) * (x + self.eta * here) + alpha * (problem.x + self.eta * there))
            after = problem.logits(x)
            error = is_safe(after, margin(after, problem.y))
            found.offer(rows, x, problem.distance(x), error)
            back = problem.x + self.beta * (x - problem.x)
            x = torch.where(error.reshape(-1, *[1] * (x.ndim - 1)), back, x)
            problem.progress((step + 1) / self.steps)


def onto_plane(x: Tensor, slope: Tensor, change: Tensor, norm: Norm, box: Box) -> Tensor:
    """The shortest steps d (B, ...) in `norm` with <slope, d> = change (B,) and x + d in the box.

    Where the box does not reach the plane, the step goes to the corner of the box that is nearest to it. Every value
    moves in the direction that helps, by m in [0, room], and gains m |slope|. In the max and the Euclidean norm the
    solution is min(scale * m0, room) with m0 = 1 and m0 = |slope|; in the Manhattan norm the steepest values are used
    up first.
    """
    gain, wanted = slope.flatten(1).abs(), change.abs()
    sign = slope.flatten(1).sign() * change.sign()[:, None]
    room = torch.where(sign > 0.0, box.high - x.flatten(1), x.flatten(1) - box.low).clamp_min(0.0)
    moved = _steepest(gain, room, wanted) if norm is Norm.L1 else _levelled(gain, room, wanted, norm)
    return (sign * moved).reshape(x.shape)


def _levelled(gain: Tensor, room: Tensor, wanted: Tensor, norm: Norm) -> Tensor:
    """(B, D): min(scale * m0, room), where the scale of each row makes the gains sum up to what is wanted."""
    shape = torch.ones_like(gain) if norm is Norm.LINF else gain
    limit = torch.where(gain > 0.0, room / shape.clamp_min(TINY), torch.inf)
    order = limit.argsort(dim=1)
    full = (gain * room).gather(1, order).cumsum(1)
    slope = (gain * shape).gather(1, order)
    # What those values gain per unit of the scale that are not yet at the edge of the box, this one included.
    rest = slope.flip(1).cumsum(1).flip(1)
    before = torch.nn.functional.pad(full, (1, 0))[:, :-1]
    scale = (wanted[:, None] - before) / rest.clamp_min(TINY)
    # The first value, in the order of the limits, that the scale does not push to the edge decides.
    fits = (scale <= limit.gather(1, order)) & (rest > 0.0)
    first = fits.to(torch.int8).argmax(1, keepdim=True)
    chosen = torch.where(fits.any(1, keepdim=True), scale.gather(1, first), torch.inf)
    moved = torch.minimum(torch.where(gain > 0.0, shape, 0.0) * chosen.clamp_min(0.0), room)
    return torch.where(gain > 0.0, moved, 0.0)


def _steepest(gain: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """(B, D): the values with the largest gain go to the edge of the box, the last one as far as it has to."""
    order = gain.argsort(dim=1, descending=True)
    share = (gain * room).gather(1, order)
    left = (wanted[:, None] - (share.cumsum(1) - share)).clamp_min(0.0)
    steps = torch.minimum(left / gain.gather(1, order).clamp_min(TINY), room.gather(1, order))
    steps = torch.where(gain.gather(1, order) > 0.0, steps, 0.0)
    return torch.zeros_like(gain).scatter(1, order, steps)
