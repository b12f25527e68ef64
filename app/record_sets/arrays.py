"""Tables in npz files: an array X of rows and an array y of labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import bundles
from app.bundles import ArraySpec
from app.errors import InvalidUpload, Reason
from app.record_sets.columns import scaled
from app.record_sets.records import RecordLimits, RecordSet

SPEC = {"X": ArraySpec("biuf", (None, None)), "y": ArraySpec("biuU", (None,))}
FIX = "Save with numpy.savez(path, X=rows, y=labels)."


def read(path: Path, limits: RecordLimits) -> RecordSet:
    """The records of an npz with X (n, columns) and y (n,), whole numbers or texts.

    Raises InvalidUpload with every reason at once.
    """
    # Double precision and the labels take some more room in the file than single precision.
    found = bundles.read(path, SPEC, 3 * limits.total_bytes)
    rows, labels = found["X"], found["y"]
    reasons = list(_complaints(rows, labels, limits))
    names, places = np.unique(labels, return_inverse=True)
    reasons += class_complaints(len(names), limits)
    if reasons:
        raise InvalidUpload(reasons)
    return RecordSet(scaled(rows), places.reshape(-1).astype(np.int64), len(names), tuple(map(_shown, names)))


def class_complaints(classes: int, limits: RecordLimits) -> list[Reason]:
    """What is wrong with a number of classes."""
    if 2 <= classes <= limits.classes:
        return []
    rule = f"The labels name 2 to {limits.classes:,} classes."
    return [Reason(rule, f"{classes:,} different labels", "Choose another column, or a part of the classes.")]


def record_complaints(count: int, width: int, limits: RecordLimits) -> Iterator[Reason]:
    """What is wrong with a number of records and a number of columns."""
    if not 1 <= count <= limits.records:
        rule = f"There are 1 to {limits.records:,} records."
        yield Reason(rule, f"{count:,}", "Choose a part of the data.")
    if width < 1 or 4 * count * width > limits.total_bytes:
        rule = f"There is at least one column, and all values take at most {limits.total_bytes / 1e6:,.0f} MB."
        yield Reason(rule, f"{count:,} records of {width:,} numbers", "Choose fewer records or columns.")


def _complaints(rows: NDArray, labels: NDArray, limits: RecordLimits) -> Iterator[Reason]:
    yield from record_complaints(len(rows), rows.shape[1], limits)
    if len(rows) != len(labels):
        yield Reason("There is one label for each row.", f"{len(rows):,} rows and {len(labels):,} labels", FIX)
    huge = np.abs(rows) > np.finfo(np.float32).max if rows.dtype == np.float64 else np.zeros(0, bool)
    if count := int(huge.sum()):
        first = np.unique(np.argwhere(huge)[:5, 0])
        places = f"rows {', '.join(map(str, first))}"
        yield Reason("All numbers fit into single precision.", places, "Scale the columns.", count)


def _shown(name: np.generic) -> str:
    text = str(name)
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:80]
