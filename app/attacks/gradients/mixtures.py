"""The gradient of a linear layer as a mixture of its inputs, and the algebra that exact attacks share.

The gradient of the weights is G = A X: row k of A (m, B) holds how the loss of every record pulls at output k, rows of
X (B, d) are the layer's inputs, and the gradient of the bias is A 1. Behind a ReLU, A is zero where a record leaves a
neuron inactive. With G = L R of rank B there is a Q with A = L Q and X = Q^-1 R: the attack is to find Q.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

EXTRA = 8
"""Columns beyond the rank that a sketch takes along; what they carry is the noise."""
LEAST, FLOOR = 1e-6, 1e-5
"""Relative size below which a singular value, or a row, is none; and the strictest test for a zero in A."""
OFFERS = 24
"""Directions of a plane that are looked at more closely; a column is offered once by each row that it vanishes on."""
SLACKS = (100.0, 10.0, 1.0)
"""How much looser the test for zeros is while a candidate settles."""
LOOSEST = 0.02
"""The loosest such test, for gradients with noise."""


@dataclass(frozen=True)
class Mixture:
    """G = left @ right, of rank r, in double precision."""

    left: Tensor
    """(m, r) with orthonormal columns."""
    right: Tensor
    """(r, d)."""
    bias: Tensor
    """(m,): the gradient of the bias."""
    alive: Tensor
    """(k,): rows that are not zero altogether."""
    strengths: Tensor
    """(r,): the singular values."""
    noise: float
    """The next singular value, of what is no signal."""

    @property
    def rank(self) -> int:
        """Independent records that the gradient holds."""
        return self.left.shape[1]

    @property
    def rows(self) -> Tensor:
        """(k, r): the rows that are alive, of length one."""
        rows = self.left[self.alive]
        return rows / rows.norm(dim=1, keepdim=True)

    def tolerances(self, directions: Tensor) -> Tensor:
        """(n, 1): the size, relative to the row, below which an entry of A counts as zero, for directions (n, r).

        The noise of a direction grows with its share of the weak singular vectors.
        """
        noise = 10.0 * self.noise * (directions / self.strengths).norm(dim=1, keepdim=True)
        return noise.clamp(FLOOR, LOOSEST)

    def zeros(self, directions: Tensor, slack: float = 1.0) -> Tensor:
        """(n, k): where the columns of A that belong to directions (n, r) are zero, among the rows that are alive."""
        return (directions @ self.rows.T).abs() < slack * self.tolerances(directions)


def factorise(weight: Tensor, bias: Tensor, records: int, generator: torch.Generator) -> Mixture:
    """The mixture that a layer's gradients (m, d) and (m,) are, of a rank of at most `records`.

    The singular values come from a random sketch with one power iteration (Halko, Martinsson and Tropp, 2011, SIAM
    Review, algorithm 4.4), which is as good as exact when the rank is small.
    """
    weight, bias = weight.double(), bias.double()
    most = min(records + EXTRA, *weight.shape)
    start = torch.randn(weight.shape[1], most, generator=generator, dtype=torch.float64).to(weight.device)
    basis = torch.linalg.qr(weight @ start).Q
    basis = torch.linalg.qr(weight @ torch.linalg.qr(weight.T @ basis).Q).Q
    left, values, right = torch.linalg.svd(basis.T @ weight, full_matrices=False)
    rank = max(1, min(records, int((values > LEAST * values[0]).sum())))
    noise = float(values[rank]) if rank < len(values) else 0.0
    left = basis @ left[:, :rank]
    size = left.norm(dim=1)
    alive = (size > LEAST * size.max()).nonzero()[:, 0]
    strengths = values[:rank]
    return Mixture(left, strengths[:, None] * right[:rank], bias, alive, strengths, noise)


def settled(mixture: Mixture, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of Q near candidates (n, r), the sparsest first, with the number of zeros of each in A.

    Each candidate becomes the direction that its own zeros agree on. Those that their zeros do not determine, or that
    have hardly more zeros than any direction can be given, are dropped.
    """
    rows = mixture.rows
    directions = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-300)
    spread = torch.ones(len(directions), dtype=torch.float64, device=rows.device)
    for slack in SLACKS:
        directions, spread = null_directions(rows, mixture.zeros(directions, slack))
    zeros = mixture.zeros(directions).sum(1)
    enough = mixture.rank - 1 + max(3, (len(rows) - mixture.rank) // 20) if mixture.rank > 1 else 0
    fine = ((zeros >= enough) & (spread > 1e-4)).nonzero()[:, 0]
    order = fine[zeros[fine].argsort(descending=True, stable=True)]
    return directions[order], zeros[order]


def null_directions(rows: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """(n, r) unit directions that come nearest to zero on the rows (k, r) that each mask of `zero` (n, k) selects.

    Also (n,): the next smallest singular value, relative to the root of the number of rows; near zero, the direction
    is not determined.
    """
    gram = torch.einsum("nk,ka,kb->nab", zero.to(rows.dtype), rows, rows)
    values, vectors = torch.linalg.eigh(gram)
    second = values[:, min(1, values.shape[1] - 1)].clamp_min(0) / zero.sum(1).clamp_min(1)
    return vectors[:, :, 0], second.sqrt()


def parted(mixture: Mixture, directions: Tensor) -> Tensor:
    """Better candidates (n, r) in the planes in which each of a few candidates lies closest to another column.

    Two records that are almost alike leave almost the same neurons inactive, and any combination of their two columns
    vanishes there. In the plane that these rows leave free, the columns themselves are the directions on which the most
    further rows agree: every row offers the one direction on which it vanishes, and the best are kept.
    """
    rows = mixture.rows
    zero = mixture.zeros(directions).to(rows.dtype)
    vectors = torch.linalg.eigh(torch.einsum("nk,ka,kb->nab", zero, rows, rows))[1][:, :, :2]
    places = torch.einsum("ka,nap->nkp", rows, vectors)
    turned = torch.stack([places[..., 1], -places[..., 0]], dim=2)
    offered = torch.einsum("nkp,nap->nka", turned, vectors)
    size = offered.norm(dim=2, keepdim=True)
    strict = 10.0 * mixture.tolerances(directions)[:, None]
    offered = torch.where(size > strict, offered / size.clamp_min(1e-300), directions[:, None])
    zeros = mixture.zeros(offered.flatten(0, 1)).sum(1).reshape(len(directions), -1)
    best = zeros.topk(min(OFFERS, len(rows)), dim=1).indices
    return offered.gather(1, best[..., None].expand(-1, -1, mixture.rank)).flatten(0, 1)


def independent(directions: Tensor, most: int) -> Tensor:
    """Places of the first directions (n, r), at most `most`, that are independent of those chosen before."""
    chosen: list[int] = []
    basis = directions.new_zeros(0, directions.shape[1])
    for place, direction in enumerate(directions):
        rest = direction - basis.T @ (basis @ direction)
        if float(rest.norm()) > 1e-3:
            rest = rest - basis.T @ (basis @ rest)
            basis = torch.cat([basis, (rest / rest.norm())[None]])
            chosen.append(place)
        if len(chosen) == most:
            break
    return torch.tensor(chosen, dtype=torch.int64, device=directions.device)


def completed(directions: Tensor, rank: int) -> Tensor:
    """(rank, rank): the independent directions (n, rank), and an orthonormal basis of what they leave out."""
    if len(directions) >= rank:
        return directions[:rank]
    rest = torch.linalg.svd(directions, full_matrices=True)[2][len(directions) :]
    return torch.cat([directions, rest])


def unmixed(mixture: Mixture, directions: Tensor) -> tuple[Tensor, Tensor]:
    """A (m, r) and X (r, d) for the columns of Q (r, r), one to a row; the bias tells their scale and sign."""
    mixed = mixture.left @ directions.T
    scale = torch.linalg.lstsq(mixed, mixture.bias[:, None], driver=_driver(mixed)).solution[:, 0]
    scale = torch.where(scale.abs() > 1e-12 * scale.abs().max().clamp_min(1e-300), scale, torch.ones_like(scale))
    inputs = torch.linalg.solve(directions.T, mixture.right) / scale[:, None]
    return mixed * scale, inputs


def sources(mixing: Tensor, mixed: Tensor) -> Tensor:
    """X (B, d) with A X nearest to G, for A (m, B) and G (m, d)."""
    return torch.linalg.lstsq(mixing, mixed, driver=_driver(mixing)).solution


def _driver(tensor: Tensor) -> str:
    # CUDA knows one driver only, which wants full rank; on the processor a lost rank does no harm.
    return "gels" if tensor.is_cuda else "gelsd"
