"""Who owns which records: the shares of the clients, and a manifest by which a run can be repeated."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.parameters import as_json, parameter

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Partition:
    """The shares of the clients; no record belongs to two of them."""

    rows: tuple[Integers, ...]
    """For each client the places of its records, in the order in which it holds them."""
    rule: str
    settings: dict[str, Any]
    seed: int

    @property
    def sizes(self) -> Integers:
        """(clients,): how many records each client owns."""
        return np.array([len(rows) for rows in self.rows], np.int64)

    def manifest(self, x: NDArray[Any], y: Integers) -> dict[str, Any]:
        """What repeats and checks this partition of the records `x` (n, ...) with the labels `y` (n,); plain JSON."""
        return {
            "rule": self.rule,
            "settings": self.settings,
            "seed": self.seed,
            "records": len(y),
            "unused": len(y) - int(self.sizes.sum()),
            "sizes": self.sizes.tolist(),
            "classes": [np.bincount(y[rows], minlength=int(y.max(initial=0)) + 1).tolist() for rows in self.rows],
            "sha256": {"x": digest(x), "y": digest(y), "shares": [digest(rows) for rows in self.rows]},
        }


def digest(array: NDArray[Any]) -> str:
    """The SHA-256 of an array's type, shape and values in C order, whatever the byte order of the machine."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    head = f"{little.dtype.str}{little.shape}".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()


class Rule(ABC):
    """How records are dealt out: a frozen dataclass whose fields are its settings."""

    title: ClassVar[str]

    def partition(self, labels: Integers, clients: int, seed: int, writers: Integers | None = None) -> Partition:
        """The shares of the records with these `labels` (n,); `writers` (n,) says who wrote each record.

        The same arguments give the same shares. Raises ValueError when the records do not suffice.
        """
        if not 1 <= clients <= len(labels):
            raise ValueError(f"{len(labels)} records cannot be dealt out to {clients} clients")
        rows = self._shares(labels, clients, np.random.default_rng(seed), writers)
        if empty := [client for client, share in enumerate(rows) if not len(share)]:
            raise ValueError(f"the clients {empty[:5]} of {clients} would own no record")
        return Partition(tuple(rows), type(self).__name__, as_json(self), seed)

    @abstractmethod
    def _shares(
        self, labels: Integers, clients: int, rng: np.random.Generator, writers: Integers | None
    ) -> list[Integers]: ...


@dataclass(frozen=True)
class Iid(Rule):
    """Every client gets an equal share, drawn at random; sizes differ by at most one."""

    title: ClassVar[str] = "Independent and identical"

    shuffled: bool = parameter(True, "Draw at random; otherwise clients get consecutive blocks of records.")

    def _shares(
        self, labels: Integers, clients: int, rng: np.random.Generator, writers: Integers | None
    ) -> list[Integers]:
        order = rng.permutation(len(labels)) if self.shuffled else np.arange(len(labels))
        return np.array_split(order, clients)


@dataclass(frozen=True)
class Dirichlet(Rule):
    """The records of each class are dealt out in proportions drawn from a Dirichlet distribution.

    Hsu, Qi and Brown, 2019; with `balanced`, a client that already owns an equal share gets nothing of further classes
    (Li, Diao, Chen and He, 2022, ICDE). Instead of drawing again until every client has enough, which may never end,
    the poorest clients get records of the richest.
    """

    title: ClassVar[str] = "Dirichlet"

    beta: float = parameter(0.5, "Concentration: the smaller, the more clients differ.", minimum=1e-3, maximum=1e6)
    least: int = parameter(1, "Records that every client owns at least.", minimum=1, maximum=100_000)
    balanced: bool = parameter(True, "Give nothing of further classes to clients that own an equal share.")

    def _shares(
        self, labels: Integers, clients: int, rng: np.random.Generator, writers: Integers | None
    ) -> list[Integers]:
        if clients * self.least > len(labels):
            raise ValueError(f"{len(labels)} records are not {self.least} for each of {clients} clients")
        owner = np.empty(len(labels), np.int64)
        sizes = np.zeros(clients, np.int64)
        for label in rng.permutation(np.unique(labels)):
            mine = rng.permutation(np.flatnonzero(labels == label))
            is_open = sizes * clients < len(labels) if self.balanced else np.ones(clients, bool)
            counts = self._counts(len(mine), is_open, rng)
            owner[mine] = np.repeat(np.arange(clients), counts)
            sizes += counts
        order = rng.permutation(len(labels))
        return _with_least([order[owner[order] == client] for client in range(clients)], self.least)

    def _counts(self, records: int, is_open: NDArray[np.bool_], rng: np.random.Generator) -> Integers:
        """(clients,): how many of a class's records each client gets."""
        share = rng.dirichlet(np.full(len(is_open), self.beta)) * is_open
        # A tiny beta gives one client everything, and that one may be closed.
        share = share / share.sum() if share.sum() > 0 else is_open / is_open.sum()
        ends = np.round(np.cumsum(share) * records).astype(np.int64)
        ends[-1] = records
        return np.diff(ends, prepend=0)


def _with_least(shares: list[Integers], least: int) -> list[Integers]:
    """The shares, after the poorest took what they lack of the richest, one client after another."""
    for client in sorted(range(len(shares)), key=lambda each: len(shares[each])):
        while (lacking := least - len(shares[client])) > 0:
            richest = max(range(len(shares)), key=lambda each: len(shares[each]))
            taken = min(lacking, len(shares[richest]) - least)
            shares[client] = np.concatenate([shares[client], shares[richest][-taken:]])
            shares[richest] = shares[richest][:-taken]
    return shares


@dataclass(frozen=True)
class FixedClasses(Rule):
    """Every client owns records of exactly so many classes; the records of a class are split evenly among its owners.

    After McMahan et al., 2017, AISTATS, section 3 (pathological non-IID), for any number of classes. With fewer places
    than classes, the records of the classes that nobody owns are not used.
    """

    title: ClassVar[str] = "Fixed number of classes"

    classes: int = parameter(2, "Classes of each client.", minimum=1, maximum=10_000)

    def _shares(
        self, labels: Integers, clients: int, rng: np.random.Generator, writers: Integers | None
    ) -> list[Integers]:
        known = rng.permutation(np.unique(labels))
        if self.classes > len(known):
            raise ValueError(f"there are {len(known)} classes, not {self.classes} for each client")
        # Consecutive places of one endless cycle of the classes are different as long as they do not outnumber them.
        places = known[np.arange(clients * self.classes) % len(known)].reshape(clients, self.classes)
        parts = {
            label: iter(np.array_split(rng.permutation(np.flatnonzero(labels == label)), int((places == label).sum())))
            for label in np.unique(places)
        }
        return [np.concatenate([next(parts[label]) for label in mine]) for mine in rng.permutation(places)]


@dataclass(frozen=True)
class PerWriter(Rule):
    """The records of one writer stay together, as in FEMNIST (Caldas et al., 2018, LEAF); writers are dealt out."""

    title: ClassVar[str] = "Per writer"

    def _shares(
        self, labels: Integers, clients: int, rng: np.random.Generator, writers: Integers | None
    ) -> list[Integers]:
        if writers is None or len(writers) != len(labels):
            raise ValueError("a partition per writer needs the writer of every record")
        known = rng.permutation(np.unique(writers))
        if len(known) < clients:
            raise ValueError(f"{len(known)} writers cannot be dealt out to {clients} clients")
        order = rng.permutation(len(labels))
        return [order[np.isin(writers[order], mine)] for mine in np.array_split(known, clients)]


RULES: dict[str, Callable[..., Rule]] = {
    "iid": Iid,
    "dirichlet": Dirichlet,
    "fixed-classes": FixedClasses,
    "per-writer": PerWriter,
}
"""The rules by slug."""
