"""The referee's question: which captures are handed out with their cell, and which without."""

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidUpload, Reason
from app.traces import Traces
from app.tracks.base import Bundle, Challenge
from app.tracks.fingerprinting.copies import copies
from app.tracks.fingerprinting.settings import Settings

SHOWN = 10
"""Examples that a reason lists before it only counts."""


class UnfairSplitError(RuntimeError):
    """A split breaks a promise of the game: the referee's own fault, never the submitter's."""


def challenge(defence: Bundle, settings: Settings, rng: np.random.Generator) -> Challenge:
    """Split a defence by capture: exactly NB_TRACES_TO_CLASSIFY are asked for, at least one of every cell.

    Repetition numbers are replaced by random 63-bit ids, so that the order of capture shows nowhere. Copies of a
    capture stay together among the training captures. Raises InvalidUpload when a cell has no capture to ask for.
    """
    traces, cell = Traces.from_bundle(defence), defence["cell"].astype(np.int32)
    copied = copies(traces, cell) >= 0
    _refuse_hopeless(cell, defence["rep"], copied, settings)
    asked = choose(cell, copied, settings.NB_TRACES_TO_CLASSIFY, rng)
    ids = unique_ids(len(cell), rng)
    test, train = np.flatnonzero(asked), np.flatnonzero(~asked)
    test = test[np.argsort(ids[test])]
    train = train[np.lexsort((ids[train], cell[train]))]
    public = {
        **traces.take(train).to_bundle("train_"),
        "train_cell": cell[train],
        "train_capture": ids[train],
        **traces.take(test).to_bundle("test_"),
        "test_capture": ids[test],
    }
    secret: Bundle = {"capture": ids[test], "cell": cell[test]}
    self_check(public, secret, settings)
    return Challenge(public=public, secret=secret)


def unique_ids(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,): different random numbers of 63 bits."""
    ids = rng.integers(0, np.iinfo(np.int64).max, size=n, endpoint=True)
    while len(np.unique(ids)) < n:
        ids = rng.integers(0, np.iinfo(np.int64).max, size=n, endpoint=True)
    return ids


def choose(
    cell: NDArray[np.int32], copied: NDArray[np.bool_], wanted: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """(n,): which captures are asked for; one of every cell, the rest at random, never a copied one.

    Every cell keeps a training capture: where nothing of it was copied, one capture is left out of the draw.
    """
    order = np.lexsort((rng.random(len(cell)), copied, cell))
    sorted_cell = cell[order]
    new = np.concatenate([[True], sorted_cell[1:] != sorted_cell[:-1]])
    last = np.concatenate([new[1:], [True]])
    asked = np.zeros(len(cell), bool)
    asked[order[new]] = True
    pool = order[~new & ~last & ~copied[order]]
    asked[rng.choice(pool, wanted - int(new.sum()), replace=False)] = True
    return asked


def _refuse_hopeless(
    cell: NDArray[np.int32], rep: NDArray[np.int64], copied: NDArray[np.bool_], settings: Settings
) -> None:
    """Raise InvalidUpload when the captures that are not copies are too few for a fair question."""
    captures = np.bincount(cell, minlength=settings.NB_CLASSES + 1)[1:]
    usable = np.bincount(cell[~copied], minlength=settings.NB_CLASSES + 1)[1:]
    reasons = [
        _copied_cell(number, rep[(cell == number) & copied])
        for number in (np.flatnonzero((usable == 0) & (captures > 0)) + 1)[:SHOWN]
    ]
    if (captures < 2).any():
        few = np.flatnonzero(captures < 2) + 1
        reasons.append(
            Reason(
                "Every cell needs at least two captures: one to ask for and one to learn from.",
                f"cells {_some(few)}",
                "Capture these cells again.",
                len(few),
            )
        )
    if reasons:
        raise InvalidUpload(reasons)
    # The draw leaves one capture of every cell behind; where copies stay behind anyway, all others can be asked for.
    available = int(np.minimum(usable, captures - 1).sum())
    if available < settings.NB_TRACES_TO_CLASSIFY:
        raise InvalidUpload([_too_few(available, int(copied.sum()), settings.NB_TRACES_TO_CLASSIFY)])


def _copied_cell(number: int, rep: NDArray[np.int64]) -> Reason:
    return Reason(
        "Captures of a cell must be captured, not copied: a cell needs at least one capture that is no copy.",
        f"cell {number}, where repetitions {_some(rep)} are (scaled) copies of each other",
        "Capture this cell again instead of duplicating or rescaling a capture.",
        len(rep),
    )


def _too_few(available: int, copied: int, wanted: int) -> Reason:
    return Reason(
        f"{wanted} captures are asked for, so at least {wanted} must be left when copies and one capture per cell stay "
        "in the training data.",
        f"{available} captures, with {copied} copies",
        "Capture more repetitions, and replace copied captures by new ones.",
        max(1, wanted - available),
    )


def _some(numbers: NDArray[np.integer]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN].tolist()))
    return shown + (f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else "")


def self_check(public: Bundle, secret: Bundle, settings: Settings) -> None:
    """Refuse, by UnfairSplitError, a split that leaks, loses or confuses captures."""
    train, test = Traces.from_bundle(public, "train_"), Traces.from_bundle(public, "test_")
    ids = np.concatenate([public["train_capture"], public["test_capture"]])
    everything = np.arange(1, settings.NB_CLASSES + 1)
    broken = {
        "the number of captures to classify is wrong": len(test) != settings.NB_TRACES_TO_CLASSIFY,
        "ids and captures differ in number": len(ids) != len(train) + len(test),
        "capture ids are not unique": len(np.unique(ids)) != len(ids),
        "a capture id is negative": bool(len(ids)) and int(ids.min()) < 0,
        "the secret is about other captures": not np.array_equal(public["test_capture"], secret["capture"]),
        "a cell has no training capture": not np.array_equal(np.unique(public["train_cell"]), everything),
        "a cell has no capture to classify": not np.array_equal(np.unique(secret["cell"]), everything),
    }
    if any(broken.values()):
        raise UnfairSplitError("; ".join(reason for reason, holds in broken.items() if holds))
    _refuse_leaks(train, test, np.concatenate([public["train_cell"], secret["cell"]]))


def _refuse_leaks(train: Traces, test: Traces, cell: NDArray[np.int32]) -> None:
    joined = Traces(
        np.concatenate([train.offset, train.offset[-1] + test.offset[1:]]),
        np.concatenate([train.size, test.size]),
        np.concatenate([train.time, test.time]),
    )
    group = copies(joined, cell)
    crossing = np.isin(group[len(train) :], group[: len(train)][group[: len(train)] >= 0])
    if crossing.any():
        raise UnfairSplitError(f"{int(crossing.sum())} captures to classify have a copy among the training captures")
