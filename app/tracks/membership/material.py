"""The records of a round: one pool from which every team gets its own half, a population, and held-out records."""

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app import record_sets
from app.attacks.membership.base import Records
from app.errors import InvalidUpload, Reason
from app.record_sets import RecordSet
from app.tracks.base import Data, Seat
from app.tracks.membership import drift

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

DIGEST_BYTES = 16


@dataclass(frozen=True)
class Material:
    """The records of one round, the same for all teams. No record occurs twice in it."""

    about: RecordSet
    """All records of the round's data set, for their shape and their names."""
    pool: Records
    """(2 T), sorted by label and by whether it is wrong: records 2i and 2i + 1 form a pair."""
    population: Records
    held_out: Records


@dataclass(frozen=True)
class Halves:
    """How the pool is split for one team: of pair i, members[i] was issued to it and strangers[i] was not."""

    members: NDArray[np.int64]
    """(T,): places in the pool."""
    strangers: NDArray[np.int64]
    order: NDArray[np.int64]
    """(T,): the pair of each row of the issued training set."""


def check(settings: "Settings", data: Data) -> None:
    """Raise InvalidUpload when the data set cannot carry a round, with every reason."""
    records = _all(data)
    found = len(distinct(records.x))
    if found < settings.records:
        rule = f"A round with these settings needs {settings.records:,} different records."
        fix = "Choose a larger data set, or lower TRAINING_RECORDS, POPULATION_RECORDS or HELD_OUT_RECORDS."
        raise InvalidUpload([Reason(rule, f"{found:,} different of {len(records):,} records", fix)])


def material(settings: "Settings", seat: Seat, data: Data | None) -> Material:
    """The records of the round that this seat belongs to. Raises InvalidUpload as `check` does."""
    return _material(settings, seat.round, data)


@functools.lru_cache(maxsize=2)
def _material(settings: "Settings", number: int, data: Data | None) -> Material:
    seat, records = Seat(number), _all(data)
    if data is not None:
        check(settings, data)
    known = distinct(records.x)
    order = seat.shared("membership: split").permutation(known)[: settings.records]
    noise = 0.0 if records.is_text else settings.LABEL_NOISE
    labels, is_wrong = _noisy(records, noise, seat.shared("membership: labels"))
    pool, population, held_out = np.split(
        order, np.cumsum([2 * settings.TRAINING_RECORDS, settings.POPULATION_RECORDS])
    )
    # Among those of one class the order is random already, so that neighbours are random pairs: two of one class, both
    # with a true or both with a wrong label, which would else make one half harder than the other.
    pool = pool[np.lexsort((is_wrong[pool], labels[pool]))]
    return Material(
        records,
        Records(records.x[pool], labels[pool]),
        Records(records.x[population], labels[population]),
        Records(records.x[held_out], records.y[held_out]),
    )


def halves(found: Material, seat: Seat) -> Halves:
    """Which half of the pool this seat was issued: of each pair, a coin decides.

    So both halves have the same classes, but for pairs at the border between two. Raises UnfairSplitError when no
    split looks fair.
    """
    rng, pairs = seat.own("membership: members"), len(found.pool) // 2
    for _ in range(drift.TRIES):
        coins = rng.integers(0, 2, pairs)
        split = Halves(2 * np.arange(pairs) + coins, 2 * np.arange(pairs) + 1 - coins, rng.permutation(pairs))
        if drift.is_fair(found.pool.take(split.members), found.pool.take(split.strangers), rng):
            return split
    raise drift.UnfairSplitError(f"{drift.TRIES} random halves of the pool differ")


def training_set(found: Material, seat: Seat) -> Records:
    """The secret training set of this seat, in the order in which it is issued."""
    split = halves(found, seat)
    return found.pool.take(split.members[split.order])


def distinct(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """The places of the first record of each kind: equal inputs are one record, whatever their labels."""
    rows = np.ascontiguousarray(x + np.float32(0.0)).reshape(len(x), -1)  # -0.0 becomes 0.0.
    first: dict[bytes, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(hashlib.blake2b(row.data, digest_size=DIGEST_BYTES).digest(), place)
    return np.fromiter(first.values(), np.int64, len(first))


def _all(data: Data | None) -> RecordSet:
    return record_sets.digits() if data is None else record_sets.read(data.kind, data.path)


def _noisy(records: RecordSet, share: float, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The labels, a share of them replaced by one of the other classes; and which ones."""
    is_wrong = rng.random(len(records)) < share
    shift = rng.integers(1, max(2, records.classes), len(records))
    return np.where(is_wrong, (records.y + shift) % records.classes, records.y), is_wrong
