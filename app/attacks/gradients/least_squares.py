"""Nonlinear least squares with very many unknowns: the steps of Levenberg and Marquardt, by conjugate gradients."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Residuals = Callable[[Tensor], Tensor]
"""Points of any shape to residuals (m,), differentiable twice."""
DAMPING, CALMER, WILDER = 1e-3, 0.3, 10.0
"""The share of J's mean square that is added to the diagonal at first; its factors after a step that helped or not."""
INNER, FORCING = 30, 0.05
"""Conjugate gradients for one step at most, and the share of the slope that may be left."""
CUTS = 3
"""How often a step that does not help is cut."""


def levenberg_marquardt(residuals: Residuals, start: Tensor, box: tuple[float, float], steps: int) -> Iterator[Tensor]:
    """The points after each of at most `steps` steps, every one better than the one before; no more once none helps.

    A step p solves (J^T J + damping) p = -J^T r (Levenberg, 1944; Marquardt, 1963; truncated as in Nocedal and Wright,
    2006, section 7.1). J is never formed: it is multiplied by backward derivatives, and by those of these. What lies at
    an edge of the box, and would leave it, stays there.
    """
    point, damping = start.detach(), DAMPING
    for _ in range(steps):
        jacobian = _Jacobian(residuals, point)
        loss = float(jacobian.values.square().sum())
        slope = jacobian.back(jacobian.values)
        free = ~(((point <= box[0]) & (slope > 0)) | ((point >= box[1]) & (slope < 0)))
        while damping < 1.0 / torch.finfo(point.dtype).eps:
            step = _solved(jacobian, slope * free, free, damping)
            moved = _better(residuals, point, step, box, loss)
            damping *= WILDER if moved is None else CALMER
            if moved is not None:
                break
        else:
            return
        point = moved
        yield point


class _Jacobian:
    """The derivative J of residuals at a point, as two products."""

    def __init__(self, residuals: Residuals, point: Tensor) -> None:
        with torch.enable_grad():
            self._point = point.detach().requires_grad_()
            self._values = residuals(self._point)
            self._pull = torch.zeros_like(self._values, requires_grad=True)
            (self._slope,) = torch.autograd.grad(self._values, self._point, self._pull, create_graph=True)
        self.values = self._values.detach()

    def back(self, pull: Tensor) -> Tensor:
        """J^T times residuals (m,), of the shape of the point."""
        return torch.autograd.grad(self._values, self._point, pull, retain_graph=True)[0]

    def ahead(self, way: Tensor) -> Tensor:
        """(m,): J times a way, of the shape of the point. J^T v is linear in v, so its derivative by v is J."""
        return torch.autograd.grad(self._slope, self._pull, way, retain_graph=True)[0]


def _solved(jacobian: _Jacobian, slope: Tensor, free: Tensor, damping: float) -> Tensor:
    """The step, by conjugate gradients from zero."""
    step, rest = torch.zeros_like(slope), -slope
    way, length = rest, rest.square().sum()
    enough, added = FORCING**2 * length, None
    for _ in range(INNER):
        if not bool(length > enough):
            break
        ahead = jacobian.ahead(way)
        if added is None:
            added = damping * ahead.square().sum() / way.square().sum()
        bent = jacobian.back(ahead) * free + added * way
        share = length / (way * bent).sum()
        step, rest = step + share * way, rest - share * bent
        before, length = length, rest.square().sum()
        way = rest + length / before * way
    return step


def _better(residuals: Residuals, point: Tensor, step: Tensor, box: tuple[float, float], loss: float) -> Tensor | None:
    """A point along a step that is better than where it begins."""
    with torch.no_grad():
        for _ in range(1 + CUTS):
            moved = (point + step).clamp(*box)
            if float(residuals(moved).square().sum()) < loss:
                return moved
            step = 0.3 * step
    return None
