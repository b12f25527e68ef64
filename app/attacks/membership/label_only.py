"""Label-only attacks: how far a record is from an error, when the target tells nothing but a class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership.base import MembershipAttack, Progress, Records, Target, silent
from app.parameters import parameter

Floats = NDArray[np.float64]
Labels = Callable[[NDArray[np.float32]], NDArray[np.int64]]
ROWS = 8192
"""Queries that are asked at once."""
HALVINGS = 12


def _labels(target: Target) -> Labels:
    """What is left of the target's answers."""
    return lambda x: target.logits(x).argmax(axis=-1)


@dataclass(frozen=True)
class NoiseRobustness(MembershipAttack):
    """The score is the share of noisy copies that keep the right class, over noise of several strengths."""

    title: ClassVar[str] = "Label-only noise robustness"
    source: ClassVar[str] = (
        "Choquette-Choo, Tramèr, Carlini and Papernot, 2021, ICML, the attack by random noise: Gaussian, or flipped"
        " values where all values are 0 or 1"
    )

    queries: int = parameter(64, "Queries of each strength for a record.", minimum=1, maximum=10_000)
    strengths: int = parameter(4, "Strengths of the noise, each twice the one before.", minimum=1, maximum=10)
    weakest: float = parameter(
        0.02, "The weakest: share of flipped values, or of the variance of the values.", minimum=1e-4, maximum=1.0
    )

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) shares in [0, 1]; a record that is misclassified as it is loses 1."""
        labels, x = _labels(target), candidates.x
        is_binary = bool(np.isin(x, (0.0, 1.0)).all())
        spread = float(x.std()) or 1.0
        scores = (labels(x) == candidates.y).astype(np.float64) - 1.0
        step = max(1, ROWS // self.queries)
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            for level in range(self.strengths):
                strength = self.weakest * 2.0**level
                copies = np.repeat(x[part], self.queries, axis=0)
                noisy = _flipped(copies, strength, rng) if is_binary else _moved(copies, spread * strength**0.5, rng)
                kept = labels(noisy) == np.repeat(candidates.y[part], self.queries)
                scores[part] += kept.reshape(-1, self.queries).mean(axis=1) / self.strengths
            progress(min(1.0, (start + step) / len(x)))
        return scores


def _flipped(x: NDArray[np.float32], share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    return np.abs(x - (rng.random(x.shape, np.float32) < min(share, 0.5)))


def _moved(x: NDArray[np.float32], deviation: float, rng: np.random.Generator) -> NDArray[np.float32]:
    return x + np.float32(deviation) * rng.standard_normal(x.shape, np.float32)


@dataclass(frozen=True)
class BoundaryDistance(MembershipAttack):
    """The score is the distance to the nearest error that a walk along the decision boundary finds."""

    title: ClassVar[str] = "Label-only boundary distance"
    source: ClassVar[str] = (
        "Choquette-Choo, Tramèr, Carlini and Papernot, 2021, ICML, and Li and Zhang, 2021, ACM CCS, with HopSkipJump"
        " (Chen, Jordan and Wainwright, 2020, IEEE S&P), started at population records of another class; no input range"
    )

    steps: int = parameter(6, "Steps along the boundary.", minimum=0, maximum=100)
    probes: int = parameter(60, "Queries for the direction of a step.", minimum=2, maximum=10_000)
    starts: int = parameter(
        4, "Population records of another class; the nearest boundary counts.", minimum=1, maximum=100
    )

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) Euclidean distances; 0 for a record that is misclassified as it is."""
        labels, x, y = _labels(target), candidates.x.astype(np.float32), candidates.y
        distances = np.zeros(len(x))
        right = np.flatnonzero(labels(x) == y)
        found = labels(population.x) if len(population) else np.empty(0, np.int64)
        block = max(1, ROWS // self.probes)
        for start in range(0, len(right), block):
            rows = right[start : start + block]
            walk = _Walk(labels, x[rows], y[rows])
            walk.begin(population.x, found, self.starts, rng)
            for step in range(self.steps):
                walk.step(self.probes, step, rng)
            distances[rows] = walk.distance()
            progress((start + len(rows)) / max(1, len(right)))
        return distances


class _Walk:
    """Points on the boundaries of some records, all on the side of the error."""

    def __init__(self, labels: Labels, x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
        self.labels, self.shape, self.y = labels, x.shape[1:], y
        self.x = x.reshape(len(x), -1)
        self.edge = self.x.copy()

    def distance(self) -> Floats:
        return np.linalg.norm((self.edge - self.x).astype(np.float64), axis=1)

    def begin(
        self, population: NDArray[np.float32], found: NDArray[np.int64], starts: int, rng: np.random.Generator
    ) -> None:
        """The nearest of the boundaries towards some population records that are classified otherwise."""
        best = np.full(len(self.x), np.inf)
        others = population.reshape(len(population), -1)
        for _ in range(starts):
            picked = np.array([_another(found, label, rng) for label in self.y])
            goal = np.where((picked >= 0)[:, None], others[picked] if len(others) else self.x, self.x)
            missing = picked < 0
            goal[missing] += 10.0 * rng.standard_normal(goal[missing].shape, np.float32)
            edge = self._bisected(goal)
            length = np.linalg.norm((edge - self.x).astype(np.float64), axis=1)
            closer = length < best
            best[closer], self.edge[closer] = length[closer], edge[closer]

    def step(self, probes: int, turn: int, rng: np.random.Generator) -> None:
        """One step along the estimated normal, as far as the error holds, and back to the boundary."""
        distance = self.distance()[:, None].astype(np.float32)
        size = distance / np.sqrt(self.x.shape[1]).astype(np.float32)
        noise = rng.standard_normal((len(self.x), probes, self.x.shape[1]), np.float32)
        noise /= np.linalg.norm(noise, axis=2, keepdims=True)
        asked = self.edge[:, None] + size[:, None] * noise
        signs = np.where(self._is_error(asked.reshape(-1, self.x.shape[1]), np.repeat(self.y, probes)), 1.0, -1.0)
        signs = signs.reshape(len(self.x), probes).astype(np.float32)
        normal = np.einsum("np,npd->nd", signs - signs.mean(axis=1, keepdims=True), noise)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        length = distance / np.float32(np.sqrt(turn + 1.0))
        moved, is_open = self.edge.copy(), np.ones(len(self.x), bool)
        for _ in range(HALVINGS):
            ahead = self.edge + length * normal
            good = is_open & self._is_error(ahead, self.y)
            moved[good], is_open[good] = ahead[good], False
            length /= 2.0
        edge = self._bisected(moved)
        closer = np.linalg.norm(edge - self.x, axis=1) < np.linalg.norm(self.edge - self.x, axis=1)
        self.edge[closer] = edge[closer]

    def _bisected(self, outside: NDArray[np.float32]) -> NDArray[np.float32]:
        """The points nearest to the records, on the ways to `outside`, that are still errors."""
        low, high = np.zeros((len(self.x), 1), np.float32), np.ones((len(self.x), 1), np.float32)
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            is_error = self._is_error(self.x + middle * (outside - self.x), self.y)[:, None]
            high, low = np.where(is_error, middle, high), np.where(is_error, low, middle)
        return self.x + high * (outside - self.x)

    def _is_error(self, flat: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.bool_]:
        found = [self.labels(part.reshape(-1, *self.shape)) for part in np.split(flat, range(ROWS, len(flat), ROWS))]
        return np.concatenate(found) != y


def _another(found: NDArray[np.int64], label: int, rng: np.random.Generator) -> int:
    """The place of a random record that is classified otherwise; -1 if there is none."""
    others = np.flatnonzero(found != label)
    return int(rng.choice(others)) if len(others) else -1
