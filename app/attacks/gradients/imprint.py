"""A layer that a malicious server puts before a model, so that it sorts the records by numbers that it measures."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.stats import laplace
from torch import Tensor, nn

PRIOR = (0.5, 0.13)
"""Mean and standard deviation that the mean brightness of natural images in [0, 1] is taken to have."""
CHECKS = 8
"""Squares that tell one record from a blend of several."""
SORTERS = 4
"""The most directions that records are sorted by."""
NEARLY = 0.99
"""Share of the most that can be expected up to which more directions, which tell twins apart, are worth it."""
COMPONENTS = 24
"""Leading principal components of public records that directions are drawn from, if there are as many."""

ENOUGH = 1000
"""Public records that directions are measured on."""


class Imprint(nn.Module):
    """Flat inputs x become x + exit * sum_k relu(w_k x + b_k + v_k h(x) + level_g(x) - edge_k), k a bin of direction g.

    The published block keeps the sorting in w and b, and returns the sum through a second trained layer: updates drown
    in the rounding of w and b, and it dies within one step of local training. Here w, b and v start from zero, which
    rounds nothing; directions and edges are constants; and every neuron has the same fixed way out, so that a record
    pulls equally at all neurons that it activates, in every step. h(x) are squares of fixed projections: their sums
    are those of a single record only where there is one, as the check sums of an invertible Bloom lookup table are.
    """

    edges: Tensor
    directions: Tensor
    probes: Tensor

    def __init__(self, edges: Tensor, directions: Tensor, exit_gain: float = 1e-3) -> None:
        """`edges` (G, K): ascending, of the levels that `directions` (G, d) give to what the model takes."""
        super().__init__()
        size, count = directions.shape[1], edges.numel()
        self.bins, self.checks = nn.Linear(size, count), nn.Linear(CHECKS, count, bias=False)
        self.exit_gain = exit_gain
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        drawn = torch.randn(CHECKS, size, generator=torch.Generator().manual_seed(0)) / math.sqrt(size)
        for name, value in {"edges": edges, "directions": directions, "probes": drawn}.items():
            self.register_buffer(name, value)

    def levels(self, flat: Tensor) -> Tensor:
        """(n, G): what sorts the flat inputs (n, d)."""
        return flat @ self.directions.to(flat).T

    def squares(self, flat: Tensor) -> Tensor:
        """(n, CHECKS): h of the flat inputs (n, d)."""
        return (flat @ self.probes.to(flat).T).square()

    def homes(self, flat: Tensor) -> Tensor:
        """(n, G): the neurons whose bins flat inputs (n, d) fall into; -1 below the first edge of a direction."""
        edges, levels = self.edges.to(flat), self.levels(flat)
        places = (levels[:, :, None] >= edges).sum(2) - 1
        starts = torch.arange(len(edges), device=flat.device) * edges.shape[1]
        return torch.where(places < 0, -1, places + starts)

    def forward(self, x: Tensor) -> Tensor:
        """The records (n, ...), each with the same number added to all of its values."""
        flat = x.flatten(1)
        above = (self.levels(flat)[:, :, None] - self.edges.to(flat)).flatten(1)
        sums = torch.relu(self.bins(flat) + self.checks(self.squares(flat)) + above).sum(1)
        return x + self.exit_gain * sums.reshape(-1, *[1] * (x.ndim - 1))


def imprinted(
    model: nn.Module, input_shape: tuple[int, ...], edges: Tensor, directions: Tensor | None = None
) -> nn.Module:
    """The model behind an `Imprint`, in the same mode; the model itself is part of it.

    `edges` (G, K) belong to `directions` (G, d); (K,) without: the records are sorted by their mean.
    """
    size = math.prod(input_shape)
    if directions is None:
        directions = torch.full((1, size), 1.0 / size)
    block = Imprint(edges.reshape(len(directions), -1), directions).to(next(model.parameters()).device)
    return nn.Sequential(block, model).train(model.training)


def edges(bins: int, public: Tensor | None = None, mean: Sequence[float] = (), std: Sequence[float] = ()) -> Tensor:
    """(bins,) ascending: bins of the mean that hold equal shares of records, counted on public ones or by a prior.

    The edges are mean values of what the model takes, (x - mean) / std per channel. Each bin reaches to the next edge,
    the last one to infinity, and the first one from below everything. Without public records (n, ...) the brightness
    is taken to follow a Laplace distribution, as published.
    """
    if public is not None:
        return _quantiles(_taken(public, mean, std).mean(1), bins)
    scale, shift = 1.0 / np.array(std or (1.0,)), np.array(mean or (0.0,))
    middle, width = PRIOR
    grey = laplace.ppf(np.maximum(np.arange(bins) / bins, 1e-6), middle, width / math.sqrt(2.0))
    return _ascending(((grey[:, None] - shift) * scale).mean(1))


def sorting(
    bins: int,
    public: Tensor,
    records: int,
    rng: np.random.Generator,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> tuple[Tensor, Tensor]:
    """(G, bins // G) edges, (G, d) directions: as many as suit the number of records that the server expects.

    Levels have variance one and are uncorrelated: the directions are orthogonal at random where the leading principal
    components of the public records (n, ...) have been whitened. Close pictures differ in them more than in brightness.
    """
    promised = {count: expected_peeled(records, bins, count) for count in range(1, min(SORTERS, bins) + 1)}
    count = max(count for count, found in promised.items() if found >= NEARLY * max(promised.values()))
    taken = _taken(public[:ENOUGH], mean, std)
    _, spreads, axes = np.linalg.svd(taken - taken.mean(0), full_matrices=False)
    kept = max(count, min(COMPONENTS, int((spreads > 1e-3 * spreads[0]).sum())))
    turned, _ = np.linalg.qr(rng.standard_normal((kept, count)))
    scale = math.sqrt(len(taken)) / np.maximum(spreads[:kept], 1e-12)
    directions = (turned.T * scale) @ axes[:kept]
    places = torch.stack([_quantiles(levels, bins // count) for levels in directions @ taken.T])
    return places, torch.tensor(directions, dtype=torch.float32)


def _taken(public: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(n, d): what the model takes for records (n, ...)."""
    shape = (-1, *[1] * (public.ndim - 2))
    shift, scale = (np.array(values).reshape(shape) for values in (mean or (0.0,), std or (1.0,)))
    taken: np.ndarray = ((public.double().cpu().numpy() - shift) / scale).reshape(len(public), -1)
    return taken


def _quantiles(levels: np.ndarray, bins: int) -> Tensor:
    """(bins,): edges of bins that hold equal shares of levels (n,), the first of them far below all."""
    places = np.quantile(levels, np.arange(bins) / bins)
    places[0] = levels.min() - 4.0 * max(float(levels.std()), 1e-3)
    return _ascending(places)


def _ascending(places: np.ndarray) -> Tensor:
    """Edges that differ: equal ones, of public records that are alike, would give bins that nothing can fall into."""
    spread = max(float(np.ptp(places)), 1e-6)
    places = np.maximum.accumulate(places + spread * 1e-6 * np.arange(len(places)))
    return torch.tensor(places, dtype=torch.float32)


def expected_peeled(records: int, bins: int, count: int, rounds: int = 100) -> float:
    """The mean number of records that can be taken out of `bins`, shared out evenly between `count` directions.

    By simulation, with bins that are equally likely and directions that are independent. One direction gives the
    records that are alone in their bin, n (1 - 1 / bins)^(n - 1) (Fowl et al., 2022, section 4). Above about 0.8
    records a bin nothing beats one or two (Goodrich and Mitzenmacher, 2011, table 1).
    """
    rng, size = np.random.default_rng(0), bins // count
    homes = rng.integers(size, size=(rounds, records, count)) + size * np.arange(count)
    homes += (size * count * np.arange(rounds))[:, None, None]
    left = np.ones((rounds, records), bool)
    while True:
        held = np.bincount(homes[left].ravel(), minlength=rounds * size * count)
        alone = left & (held[homes] == 1).any(2)
        if not alone.any():
            return float((~left).sum(1).mean())
        left &= ~alone


def imprint_weights(parameters: Mapping[str, Tensor], least: int = 8) -> str | None:
    """The name of a weight whose rows are all the same, as no training and no draw makes them; None without one.

    A client can run this before it trains: it is the detection of a malicious server, whether it writes what it sorts
    by into the rows, as published, or leaves them at zero.
    """
    for name, value in parameters.items():
        if value.ndim == 2 and min(value.shape) >= least:
            value = value.detach()
            spread = (value - value.mean(0)).norm() / value.norm().clamp_min(1e-30)
            if float(spread) < 1e-3:
                return name
    return None
