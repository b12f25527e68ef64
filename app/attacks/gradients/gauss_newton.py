"""Least squares near a solution: the Gauss-Newton matrix of residuals, and L-BFGS in the coordinates that it whitens.

Where residuals r(x) can vanish, as found gradients less shared ones can, J^T J is all of the Hessian of |r|^2 / 2 that
matters (Levenberg, 1944; Marquardt, 1963; Nocedal and Wright, 2006, ch. 10). Its condition is the square of J's: for a
gradient of a small network 10^7 to 10^8, on which L-BFGS and conjugate gradients creep until single precision stops
them. Factored once, as damping + J^T J = L L^T, it turns the problem round: in u = L^T x the Hessian is nearly the
identity, and tens of evaluations go as far as thousands did. The factor costs n derivatives and 2 n^2 m operations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.func import vjp, vmap

from app.attacks.gradients.distances import LAYERS, TINY
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.optimisers import Lbfgs

Residuals = Callable[[Tensor, Tensor], Tensor]
"""Points (P, n) and the problems (P,) that they belong to, to residuals (P, m), each row's of its own point only."""
Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Points (P, n) and their problems (P,) to the sums (P,) of squared residuals and their gradients (P, n)."""
DAMPING = 1e-7
"""What is added to the diagonal, as a share of its largest entry: near the rounding of single precision."""
WIDEST = 8192
"""More unknowns are not worth a factor."""
COLUMNS, BLOCKS = 256, 8
"""Derivatives that are taken at a time, and blocks of rows of J^T J, which is formed up to its diagonal only."""


@dataclass(frozen=True)
class Whitening:
    """Coordinates u around points x, x(u) = x + L^-T u, in which the sum of squares bends alike in all directions."""

    points: Tensor
    """(P, n): where u is 0."""
    root: Tensor
    """(P, n, n): lower triangular L, with L L^T = 2 J^T J + damping."""

    @classmethod
    def at(cls, residuals: Residuals, points: Tensor, index: Tensor, damping: Tensor | float = DAMPING) -> "Whitening":
        """Around points (P, n) of the problems `index` (P,); `damping` for all or for each (P,) of them.

        Damping grows tenfold as long as rounding leaves the matrix indefinite.
        """
        roots = []
        shares = torch.as_tensor(damping, dtype=points.dtype, device=points.device).expand(len(points))
        for row, share in enumerate(shares):
            matrix = normal(partial(_alone, residuals, index[row : row + 1]), points[row])
            roots.append(_root(2.0 * matrix.nan_to_num(0.0, 0.0, 0.0), share))
        return cls(points, torch.stack(roots))

    def outside(self, u: Tensor) -> Tensor:
        """(P, n): the points at u (P, n)."""
        return self.points + torch.linalg.solve_triangular(self.root.mT, u[:, :, None], upper=True)[:, :, 0]

    def slope(self, gradient: Tensor) -> Tensor:
        """(P, n): the gradient by u, for one by the points. Less of it is the step of Levenberg and Marquardt."""
        return torch.linalg.solve_triangular(self.root, gradient[:, :, None], upper=False)[:, :, 0]


def normal(residuals: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """(n, n): J^T J of residuals (m,) at a point (n,)."""
    # J u is the derivative of J^T w, which is linear in w: only linear operations are repeated for every column.
    size, (value, back) = len(point), vjp(residuals, point)[:2]
    forth = vjp(lambda w: back(w)[0], torch.zeros_like(value))[1]
    found = vmap(lambda u: forth(u)[0], chunk_size=COLUMNS)(torch.eye(size, dtype=point.dtype, device=point.device))
    matrix = found.new_zeros(size, size)
    for part in torch.arange(size).split(-(-size // BLOCKS)):
        first, end = int(part[0]), int(part[-1]) + 1
        matrix[first:end, :end] = found[first:end] @ found[:end].T
    return matrix.tril() + matrix.tril(-1).T


def _alone(residuals: Residuals, index: Tensor, point: Tensor) -> Tensor:
    return residuals(point[None], index)[0]


def _root(matrix: Tensor, damping: Tensor) -> Tensor:
    """The Cholesky factor of a matrix (n, n), which is written over, with as much damping as it needs."""
    diagonal = matrix.diagonal()
    info = torch.finfo(matrix.dtype)
    before, top = diagonal.clone(), diagonal.max().clamp(min=info.tiny)
    failed = True
    while failed:
        diagonal.copy_(before + damping * top)
        root, wrong = torch.linalg.cholesky_ex(matrix)
        failed, damping = bool(wrong), (10.0 * damping).clamp(min=info.eps)
    return root


def descend(
    evaluate: Evaluate, residuals: Residuals, points: Tensor, index: Tensor, turns: int, solved: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Points (P, n) that `turns` evaluations of whitened L-BFGS reach from the given ones, and their values (P,).

    A problem whose value is at most `solved` goes no further.
    """
    whitening = Whitening.at(residuals, points, index)
    search = Lbfgs(torch.zeros_like(points), turns)
    for _ in range(turns):
        value, gradient = evaluate(whitening.outside(search.ask()), index)
        search.tell(value, whitening.slope(gradient))
        search.stuck |= search.value <= solved
        if bool(search.stuck.all()):
            break
    return whitening.outside(search.point), search.value


def fits(matching: Matching, unknowns: int) -> bool:
    """Whether a matching is a sum of the squares of `residuals`, with factors that are worth their memory and time."""
    victims = matching.victims
    entries = sum(tensor[0].numel() for tensor in victims.target.values())
    small = unknowns <= WIDEST and unknowns * entries * victims.mean.element_size() <= matching.memory
    squares = type(matching) is Matching and matching.distance.kind == "l2" and victims.first.transform is None
    return small and squares and unknowns <= entries


def residuals(matching: Matching, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
    """(P, m): found gradients or updates less those that were shared, whose squares sum to the l2 distance."""
    victims = matching.victims
    client, (weights, buffers, target) = victims.client, victims.take(index)
    if victims.training is None:
        found = client.gradients(weights, buffers, x, y)
    else:
        found = client.update(weights, buffers, x, y, victims.training)
    rates = LAYERS[matching.distance.layers](target)
    whole = sum(rates[name] * target[name].flatten(1).square().sum(1) for name in target) + TINY
    parts = [(rates[name] / whole).sqrt()[:, None] * (found[name] - target[name]).flatten(1) for name in target]
    return torch.cat(parts, 1)
