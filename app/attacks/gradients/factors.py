"""Gradients of wide linear layers that are never formed, and what distances are made of.

With inputs h (B, d) and errors e (B, m) of its outputs, the gradient of a linear layer is e^T h. Its squared length is
the sum of (e e^T) * (h h^T) and its product with a matrix G that of e * (h G^T), so that no (m, d) matrix is formed
("ghost norms": Goodfellow, 2015, arXiv 1510.01799; Li et al., 2022, ICLR). Subtracting such sums would cost a distance
the last digits just where an attack needs them; hence G = C Q + R with orthonormal rows Q (B, d) that span G where it
is the gradient of B records, and |e^T h - G|^2 = |e^T (h Q^T) - C|^2 + |e^T h' - R|^2 with h' = h - h Q^T Q. R is
nothing but rounding unless a defence has changed the gradient, and is left out then.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from app.attacks.gradients.distances import TINY

ROUNDING = 8
"""What is left of a gradient beside its factors is rounding up to this multiple of a number's precision."""


class Factors(NamedTuple):
    """The shared gradients of a linear layer, shares @ basis + rest."""

    basis: Tensor
    """(P, r, d), orthonormal rows."""
    shares: Tensor
    """(P, m, r)."""
    rest: Tensor | None
    """(P, m, d); None where it is rounding."""


def split(target: Tensor, records: int) -> Factors:
    """Of gradients (V, m, d); worked on one by one, in double precision, for they are large."""
    found = [_one(one, records) for one in target]
    basis, shares = (torch.stack([one[place] for one in found]) for place in (0, 1))
    rest = torch.stack([one - part @ rows for one, part, rows in zip(target, shares, basis, strict=True)])
    most = (ROUNDING * torch.finfo(target.dtype).eps) ** 2 * target.flatten(1).square().sum(1)
    is_rounding = bool((rest.flatten(1).square().sum(1) <= most).all())
    return Factors(basis, shares, None if is_rounding else rest)


def _one(gradient: Tensor, records: int) -> tuple[Tensor, Tensor]:
    """Rows (r, d) that span the gradient (m, d) as well as so many can, and its shares (m, r) in them."""
    doubled = gradient.double()
    _, vectors = torch.linalg.eigh(doubled @ doubled.mT)
    rows = vectors[:, -min(records, *gradient.shape) :].mT @ doubled
    basis = torch.linalg.qr(rows.mT)[0].mT
    return basis.to(gradient.dtype), (doubled @ basis.mT).to(gradient.dtype)


def rows_of(factors: Factors, rows: Tensor | slice) -> Factors:
    """The factors of the victims at `rows`."""
    return Factors(*(None if part is None else part[rows] for part in factors))  # type: ignore[arg-type]


class Met(NamedTuple):
    """A gradient errors^T inputs seen in the factors of another: errors^T (inside @ basis + outside)."""

    inside: Tensor
    """(P, B, r): the inputs in the basis."""
    within: Tensor
    """(P, m, r): errors^T inside."""
    outside: Tensor
    """(P, B, d): the inputs beside the basis."""


def meet(inputs: Tensor, errors: Tensor, factors: Factors) -> Met:
    """Inputs (P, B, d) and errors (P, B, m) in the factors."""
    inside = inputs @ factors.basis.mT
    return Met(inside, errors.mT @ inside, inputs - inside @ factors.basis)


def factored_sums(inputs: Tensor, errors: Tensor, met: Met, factors: Factors, kind: str) -> Tensor:
    """As `dense_sums`, of the gradients errors^T inputs."""
    outside = dots(met.outside @ met.outside.mT, errors @ errors.mT)
    if kind == "l2":
        beside = met.within - factors.shares
        apart = dots(beside, beside) + outside
        if factors.rest is not None:
            aside = dots(errors, inputs @ factors.rest.mT)
            apart = apart + dots(factors.rest, factors.rest) - 2.0 * aside
        return apart[:, None]
    along = dots(met.within, factors.shares)
    if factors.rest is not None:
        along = along + dots(errors, inputs @ factors.rest.mT)
    return torch.stack([along, dots(met.within, met.within) + outside], 1)


def dense_sums(found: Tensor, target: Tensor, kind: str) -> Tensor:
    """(P, 1): |g - G|^2 of gradients (P, ...) for l2; (P, 2): <g, G> and |g|^2 for the cosine."""
    if kind == "l2":
        beside = found - target
        return dots(beside, beside)[:, None]
    return torch.stack([dots(found, target), dots(found, found)], 1)


def dots(some: Tensor, other: Tensor) -> Tensor:
    """(P,): the inner products."""
    return torch.linalg.vecdot(some.flatten(1), other.flatten(1))


def closed(kind: str, totals: Tensor, theirs: Tensor) -> Tensor:
    """(P,): the distance by the sums (P, n) over all gradients, and the targets' squared lengths (P,)."""
    if kind == "l2":
        return totals[:, 0] / (theirs + TINY)
    return 1.0 - totals[:, 0] / ((totals[:, 1] + TINY).sqrt() * (theirs + TINY).sqrt())
