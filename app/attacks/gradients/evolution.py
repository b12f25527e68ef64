"""Evolution by covariance matrix adaptation, of many independent problems at once."""

import math

import torch
from torch import Tensor

DENSE = 192
"""Variables up to which the covariance is a full matrix; beyond it is a diagonal."""


class CovarianceAdaptation:
    """CMA-ES (Hansen, 2016, arXiv 1604.00772, table 1) of P problems with n variables each.

    Without negative weights. Beyond `DENSE` variables the separable variant (Ros and Hansen, 2008, PPSN), whose
    diagonal may learn (n + 2) / 3 times as fast. Asked for a population, told its values; lower is better.
    """

    def __init__(self, start: Tensor, spread: float, population: int, draw: torch.Generator) -> None:
        """Begin around `start` (P, n) with a standard deviation."""
        problems, size = start.shape
        self.mean, self.spread = start.clone(), start.new_full((problems,), spread)
        self.population, self._draw, self._size = population, draw, size
        parents = population // 2
        ranks = torch.arange(1, parents + 1, device=start.device, dtype=start.dtype)
        weights = math.log((population + 1) / 2) - ranks.log()
        self._weights = weights / weights.sum()
        self._set_rates(float(1.0 / self._weights.square().sum()))
        self._path_of_spread, self._path = torch.zeros_like(start), torch.zeros_like(start)
        self.is_dense = size <= DENSE
        self._scales, eye = torch.ones_like(start), torch.eye(size, device=start.device, dtype=start.dtype)
        self._axes = eye.repeat(problems, 1, 1) if self.is_dense else start.new_empty(0)
        self._covariance = self._axes.clone() if self.is_dense else torch.ones_like(start)
        self._turn, self._points = 0, start.new_empty(0)

    def ask(self) -> Tensor:
        """(P, population, n): the points to evaluate next."""
        shape = (len(self.mean), self.population, self._size)
        normal = torch.randn(shape, generator=self._draw, device=self.mean.device, dtype=self.mean.dtype)
        self._points = self._stretched(normal)
        return self.mean[:, None] + self.spread[:, None, None] * self._points

    def tell(self, values: Tensor) -> None:
        """Values (P, population) of the points asked for; one that is not a number counts as the worst."""
        order = values.nan_to_num(torch.inf, torch.inf).argsort(1)[:, : len(self._weights)]
        chosen = self._points.gather(1, order[:, :, None].expand(-1, -1, self._size))
        step = (self._weights[:, None] * chosen).sum(1)
        self.mean = self.mean + self.spread[:, None] * step
        self._turn += 1
        self._follow(step)
        self._learn(chosen)
        moved = (self._path_of_spread.norm(dim=1) / self._expected - 1.0) * self._rate_spread / self._damping
        self.spread = self.spread * moved.clamp(max=1.0).exp()

    def _set_rates(self, mass: float) -> None:
        """The constants of table 1; `mass` is the variance effective selection mass."""
        n = self._size
        self._mass = mass
        self._rate_spread = (mass + 2) / (n + mass + 5)
        self._damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (n + 1)) - 1) + self._rate_spread
        self._rate_path = (4 + mass / n) / (n + 4 + 2 * mass / n)
        faster = 1.0 if n <= DENSE else (n + 2) / 3
        self._rate_one = min(1.0, faster * 2 / ((n + 1.3) ** 2 + mass))
        self._rate_many = min(1 - self._rate_one, faster * 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        self._expected = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        # The axes are found anew only after the covariance has changed noticeably.
        self._pause = max(1, int(1 / (10 * n * (self._rate_one + self._rate_many))))

    def _follow(self, step: Tensor) -> None:
        """The paths along which the mean has gone."""
        rate = self._rate_spread
        self._path_of_spread = (1 - rate) * self._path_of_spread
        self._path_of_spread += math.sqrt(rate * (2 - rate) * self._mass) * self._whitened(step)
        settled = self._path_of_spread.norm(dim=1) / math.sqrt(1 - (1 - rate) ** (2 * self._turn))
        self._steady = (settled < (1.4 + 2 / (self._size + 1)) * self._expected).to(step)[:, None]
        rate = self._rate_path
        self._path = (1 - rate) * self._path + self._steady * math.sqrt(rate * (2 - rate) * self._mass) * step

    def _learn(self, chosen: Tensor) -> None:
        """The covariance from the path and from the chosen points."""
        lost = (1 - self._steady) * self._rate_path * (2 - self._rate_path)
        keep = 1 - self._rate_one - self._rate_many + self._rate_one * lost
        if not self.is_dense:
            many = (self._weights[:, None] * chosen.square()).sum(1)
            self._covariance = keep * self._covariance + self._rate_one * self._path.square() + self._rate_many * many
            self._scales = self._covariance.sqrt()
            return
        many = (chosen * self._weights[:, None]).mT @ chosen
        one = self._path[:, :, None] * self._path[:, None]
        self._covariance = keep[:, :, None] * self._covariance + self._rate_one * one + self._rate_many * many
        if self._turn % self._pause == 0:
            values, self._axes = torch.linalg.eigh(self._covariance.double().cpu())
            self._axes = self._axes.to(self.mean)
            self._scales = values.clamp(min=1e-20).sqrt().to(self.mean)

    def _stretched(self, normal: Tensor) -> Tensor:
        """(P, population, n): normal numbers with the covariance."""
        scaled = normal * self._scales[:, None]
        return scaled @ self._axes.mT if self.is_dense else scaled

    def _whitened(self, step: Tensor) -> Tensor:
        """(P, n): the inverse root of the covariance times a step."""
        if not self.is_dense:
            return step / self._scales
        turned = (self._axes.mT @ step[:, :, None])[:, :, 0] / self._scales
        return (self._axes @ turned[:, :, None])[:, :, 0]
