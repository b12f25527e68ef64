"""Turns a file of a known kind into records."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from app import image_sets
from app.errors import InvalidUpload, Reason
from app.record_sets import arrays, sentences, tables
from app.record_sets.records import RecordLimits, RecordSet

DEFAULT = RecordLimits()
ZIP = b"PK"

Reader = Callable[[Path, RecordLimits], RecordSet]


def read(kind: str, path: Path, limits: RecordLimits = DEFAULT) -> RecordSet:
    """The records of a file of this kind (see KINDS).

    Raises InvalidUpload with every reason at once, KeyError for an unknown kind.
    """
    reader, size = KINDS[kind], path.stat().st_size
    most = min(limits.file_bytes, limits.text_bytes) if kind == "sentences" else limits.file_bytes
    if not 0 < size <= most:
        rule = f"The file is not empty and has at most {most / 1e6:,.0f} MB."
        raise InvalidUpload([Reason(rule, f"{size / 1e6:,.1f} MB", "Choose a part of the data.")])
    return reader(path, limits)


def _images(path: Path, limits: RecordLimits) -> RecordSet:
    """Images with values from 0 to 1, whatever range the file uses."""
    bounds = image_sets.ImageSetLimits(limits.total_bytes, limits.records, limits.classes)
    found = image_sets.read(path, bounds)
    scaled = ((found.samples - found.low) / (found.high - found.low)).astype(np.float32)
    return RecordSet(scaled, found.labels, found.classes, found.class_names)


def _table(path: Path, limits: RecordLimits) -> RecordSet:
    with path.open("rb") as file:
        is_archive = file.read(len(ZIP)) == ZIP
    return arrays.read(path, limits) if is_archive else tables.read(path, limits)


KINDS: dict[str, Reader] = {"dataset": _images, "table": _table, "sentences": sentences.read}
"""Kind -> its reader: labelled images (HDF5, npz), tables (csv, npz), sentences (txt, one per line)."""
