"""Reference models: what models say about the records that they were, and were not, trained on.

They are made once for all attacks that ask for the same ones. Model 2i is trained on a random half of the records and
model 2i + 1 on the other half, as in Carlini et al., 2022, IEEE S&P, so each record is inside half of the models;
records that are equal stand on the same side, so that a copy never betrays its twin.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.attacks.membership.base import MembershipAttack, Progress, Records, Target, silent
from app.parameters import parameter
from app.training import Recipe, Stack, default_network, logits, perceptron, small_cnn, train

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class References:
    """R models' logits for n records: the candidates and, after them, the population."""

    logits: NDArray[np.float32]
    """(R, n, K)"""
    inside: Mask
    """(R, n): which records each model was trained on."""
    y: NDArray[np.int64]
    """(n,)"""
    candidates: int
    """How many of the records are candidates; they come first."""

    def __len__(self) -> int:
        """The number of models."""
        return len(self.logits)

    @cached_property
    def scaled(self) -> Floats:
        """(R, n): LiRA's scaled logits."""
        return signals.scaled_logit(self.logits, self.y)

    @cached_property
    def log_p(self) -> Floats:
        """(R, n): log-probabilities of the true class."""
        return signals.log_probability(self.logits, self.y)

    def without(self, model: int) -> Mask:
        """(R,): the models that may judge this one: neither itself nor the one trained on the other half."""
        numbers = np.arange(len(self))
        return (numbers // 2) != (model // 2)


class ReferenceCache:
    """Keeps the references that were made last, so that several attacks on one round share them."""

    def __init__(self, size: int = 2) -> None:
        """Keep `size` of them."""
        self._made: dict[str, References] = {}
        self._size = size

    def get(self, key: str, make: Callable[[], References]) -> References:
        """What was kept under this key, else what `make` gives."""
        if key not in self._made:
            made = make()
            while len(self._made) >= self._size:
                self._made.pop(next(iter(self._made)))
            self._made[key] = made
        return self._made[key]


@dataclass(frozen=True)
class ReferenceAttack(MembershipAttack):
    """An attack that compares the target with reference models of the attacker's own.

    `online` attacks train them on candidates and population, half in and half out; offline ones on halves of the
    population, so that they may be made before the candidates are known.
    """

    models: int = parameter(16, "Reference models; even, because they come in pairs.", minimum=2, maximum=256)
    architecture: str = parameter(
        "auto", "Their architecture; auto takes a small CNN for images.", choices=("auto", "perceptron", "cnn")
    )
    width: int = parameter(128, "Hidden units of a perceptron.", minimum=1, maximum=4096)
    records: int = parameter(0, "Training records of each; 0 takes half of all.", minimum=0, maximum=1_000_000)
    epochs: int = parameter(30, "Passes over the training records.", minimum=1, maximum=1000)
    batch: int = parameter(64, "Records of one step.", minimum=1, maximum=4096)
    rate: float = parameter(0.1, "Learning rate of SGD.", minimum=1e-6, maximum=10.0)
    momentum: float = parameter(0.9, "Momentum of SGD.", minimum=0.0, maximum=0.999)
    weight_decay: float = parameter(0.0, "Weight decay of SGD.", minimum=0.0, maximum=1.0)
    cache: ReferenceCache | None = field(default=None, repr=False, compare=False)
    """Where references are shared with other attacks; None makes them anew."""

    def references(
        self,
        classes: int,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
        *,
        online: bool,
    ) -> References:
        """The reference models' answers; the same for the same arguments and state of `rng`."""
        seed = int(rng.integers(2**63))

        def make() -> References:
            return self._make(classes, candidates, population, np.random.default_rng(seed), device, progress, online)

        if self.cache is None:
            return make()
        return self.cache.get(self._key(classes, candidates, population, seed, device, online), make)

    def _make(
        self,
        classes: int,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str,
        progress: Progress,
        online: bool,
    ) -> References:
        x = torch.from_numpy(np.concatenate([candidates.x, population.x]).astype(np.float32)).to(device)
        y = np.concatenate([candidates.y, population.y])
        usable = np.arange(0 if online else len(candidates), len(y))
        inside = halves(identities(x.cpu().numpy(), y), usable, self.models, self.records, rng)
        stack = Stack.fresh(self._network(tuple(x.shape[1:]), classes), self.models, rng, device)
        rows = [np.flatnonzero(mask) for mask in inside]
        trained = train(stack, x, torch.from_numpy(y).to(device), rows, self._recipe(), rng, progress=progress)
        return References(logits(trained, x).cpu().numpy(), inside, y, len(candidates))

    def _network(self, shape: tuple[int, ...], classes: int) -> Callable[[], torch.nn.Module]:
        if self.architecture == "cnn":
            return lambda: small_cnn(shape, classes)
        is_image = len(shape) == 3 and min(shape[1:]) >= 4
        if self.architecture == "auto" and is_image:
            return default_network(shape, classes)
        return lambda: perceptron(shape, classes, (self.width,))

    def _recipe(self) -> Recipe:
        return Recipe(self.epochs, self.batch, self.rate, self.momentum, self.weight_decay)

    def _key(self, classes: int, candidates: Records, population: Records, seed: int, *others: Any) -> str:
        found = hashlib.sha256()
        for array in (candidates.x, candidates.y, population.x, population.y):
            found.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
        network = (self.models, self.architecture, self.width, self.records)
        return f"{found.hexdigest()}{(network, self._recipe(), classes, seed, others)}"


def identities(x: NDArray, y: NDArray) -> NDArray[np.int64]:
    """(n,): a number for each record, the same for records that are equal in all values and the class."""
    if not len(y):
        return np.empty(0, np.int64)
    flat = np.concatenate([x.reshape(len(x), -1), y[:, None]], axis=1, dtype=np.float64)
    # Minus zero becomes zero.
    flat += 0.0
    rows = [row.tobytes() for row in flat]
    numbers = {row: number for number, row in enumerate(sorted(set(rows)))}
    return np.array([numbers[row] for row in rows], np.int64)


def halves(
    identity: NDArray[np.int64], usable: NDArray[np.int64], models: int, records: int, rng: np.random.Generator
) -> Mask:
    """(models, n): which records each model is trained on: halves of the usable ones, complements in each pair.

    With `records` given, no model has more than about so many. A record equal to one that is inside is inside too.
    Raises ValueError when `models` is odd, or when there are fewer than two different usable records.
    """
    kinds = np.unique(identity[usable])
    if models % 2 or len(kinds) < 2:
        raise ValueError(f"{models} reference models on {len(kinds)} different records: both must come in pairs")
    half = len(kinds) // 2
    taken = min(half, round(records * len(kinds) / len(usable))) if records else half
    inside = np.zeros((models, len(identity)), bool)
    is_chosen = np.zeros(int(identity.max()) + 1, bool)
    for pair in range(models // 2):
        order = rng.permutation(kinds)
        for side, chosen in enumerate(
            (order[: max(1, taken)], order[half : half + taken] if records else order[half:])
        ):
            is_chosen[:] = False
            is_chosen[chosen] = True
            inside[2 * pair + side] = is_chosen[identity]
    return inside


def answers(target: Target, references: References, candidates: Records, population: Records) -> NDArray[np.float32]:
    """(n, K): the target's logits for the records of the references, in their order."""
    found = [target.logits(records.x) for records in (candidates, population) if len(records)]
    return np.concatenate(found)
