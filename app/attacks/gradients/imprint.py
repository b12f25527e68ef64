"""A layer that a malicious server puts before a model, so that it sorts the records by a number that it measures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import laplace
from torch import Tensor, nn

PRIOR = (0.5, 0.13)
"""Mean and standard deviation that the mean brightness of natural images in [0, 1] is taken to have."""


class Imprint(nn.Module):
    """Flat inputs x become x + exit * sum_k relu(mean(x) - edge_k), for K edges in ascending order.

    The published block returns the sum through a second trained layer, and dies within one step of local training.
    Here every neuron has the same fixed way out, so that a record pulls equally at all neurons that it activates, in
    every step, and the exit is small, so that local training moves the edges by little.
    """

    def __init__(self, size: int, edges: Tensor, exit_gain: float = 3e-2) -> None:
        """`edges` (K,): in units of what the model takes; `size`: values of one record."""
        super().__init__()
        self.bins = nn.Linear(size, len(edges))
        self.exit_gain = exit_gain
        with torch.no_grad():
            self.bins.weight.fill_(1.0 / size)
            self.bins.bias.copy_(-edges)

    def forward(self, x: Tensor) -> Tensor:
        """The records (n, ...), each with the same number added to all of its values."""
        sums = torch.relu(self.bins(x.flatten(1))).sum(1)
        return x + self.exit_gain * sums.reshape(-1, *[1] * (x.ndim - 1))


def imprinted(model: nn.Module, input_shape: tuple[int, ...], edges: Tensor) -> nn.Module:
    """The model behind an `Imprint` with these edges, in the same mode; the model itself is part of it."""
    size = math.prod(input_shape)
    block = Imprint(size, edges).to(next(model.parameters()).device)
    return nn.Sequential(block, model).train(model.training)


def edges(bins: int, public: Tensor | None = None, mean: Sequence[float] = (), std: Sequence[float] = ()) -> Tensor:
    """(bins,) ascending: bins that hold equal shares of records, counted on public ones (n, ...) or by a prior.

    The edges are mean values of what the model takes, (x - mean) / std per channel. Each bin reaches to the next edge,
    the last one to infinity, and the first one from below everything. Without public records the brightness is taken to
    follow a Laplace distribution, as published.
    """
    shares = np.arange(bins) / bins
    scale, shift = 1.0 / np.array(std or (1.0,)), np.array(mean or (0.0,))
    if public is not None:
        channels = (
            public.double().flatten(2).mean(2).cpu().numpy() if public.ndim > 2 else public.double().cpu().numpy()
        )
        brightness = ((channels - shift) * scale).mean(1)
        places = np.quantile(brightness, shares)
        places[0] = brightness.min() - 4.0 * max(float(brightness.std()), 1e-3)
    else:
        middle, width = PRIOR
        grey = laplace.ppf(np.maximum(shares, 1e-6), middle, width / math.sqrt(2.0))
        places = ((grey[:, None] - shift) * scale).mean(1)
    # Equal edges, of public records that are alike, would give bins that nothing can fall into.
    spread = max(float(np.ptp(places)), 1e-6)
    places = np.maximum.accumulate(places + spread * 1e-6 * np.arange(bins))
    return torch.tensor(places, dtype=torch.float32)


@dataclass(frozen=True)
class Expectation:
    """What bins promise."""

    masses: np.ndarray
    """(bins,): the probability that a record falls into each of them."""

    def clean(self, records: int) -> float:
        """The expected number of records that are alone in their bin: sum over bins of n p (1 - p)^(n - 1)."""
        return float((records * self.masses * (1.0 - self.masses) ** (records - 1)).sum())


def expected_clean(records: int, bins: int) -> float:
    """The expected number of records alone in one of `bins` equally likely bins (Fowl et al., 2022, section 4)."""
    return Expectation(np.full(bins, 1.0 / bins)).clean(records)


def imprint_weights(parameters: Mapping[str, Tensor], least: int = 8) -> str | None:
    """The name of a weight whose rows are all the same, as no training and no draw makes them; None without one.

    A client can run this before it trains: it is the detection of a malicious server.
    """
    for name, value in parameters.items():
        if value.ndim == 2 and min(value.shape) >= least:
            value = value.detach()
            spread = (value - value.mean(0)).norm() / value.norm().clamp_min(1e-30)
            if float(spread) < 1e-3:
                return name
    return None
