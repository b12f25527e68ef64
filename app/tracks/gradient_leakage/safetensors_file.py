"""Reads safetensors files of strangers: a bounded header, whole numbers checked before memory is taken, no code.

The layout (huggingface/safetensors): eight bytes with the length of a JSON header, the header, and the data, in which
every tensor has its place without gaps and overlaps.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.archives import SHOWN, quoted
from app.bundles import MAX_DIMENSIONS, Bundle
from app.errors import InvalidUpload, Reason

PREFIX = 8
HEADER_PER_ARRAY = 4096
METADATA = "__metadata__"
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
FIX = "Save with safetensors.numpy.save_file or safetensors.torch.save_file."


@dataclass(frozen=True)
class _Entry:
    """A well-formed line of the header."""

    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(TYPES[self.kind]).itemsize


def read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Bundle:
    """The arrays that `shapes` names, as floating point; the file may hold nothing else.

    Raises InvalidUpload with every reason at once; nothing is allocated before sizes were found to be right.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header, start = _header(file, size, HEADER_PER_ARRAY * (len(shapes) + 1))
        entries, reasons = _entries(header)
        reasons += [*_name_complaints(set(header) - {METADATA}, shapes), *_shape_complaints(entries, shapes)]
        reasons += _place_complaints(entries, size - start) if not reasons else []
        if reasons:
            raise InvalidUpload(reasons)
        arrays = {entry.name: _array(file, start, entry) for entry in entries}
    return {name: arrays[name] for name in shapes}


def _header(file: IO[bytes], size: int, most: int) -> tuple[dict[str, Any], int]:
    """The header as JSON and where the data begin. Raises InvalidUpload."""
    length = int.from_bytes(file.read(PREFIX), "little")
    if not 2 <= length <= min(most, size - PREFIX):
        rule = f"A safetensors file begins with the length of its header, at most {most:,} bytes."
        raise InvalidUpload([Reason(rule, f"{length:,} bytes in a file of {size:,}", FIX)])
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise InvalidUpload([Reason("The header is JSON.", quoted(str(error)), FIX)]) from error
    if not isinstance(header, dict):
        raise InvalidUpload([Reason("The header is a JSON object.", type(header).__name__, FIX)])
    return header, PREFIX + length


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _entries(header: Mapping[str, Any]) -> tuple[list[_Entry], list[Reason]]:
    """The well-formed lines, and a reason for each of the others."""
    entries, reasons = [], []
    for name, line in header.items():
        if name == METADATA:
            continue
        found = _entry(name, line)
        if isinstance(found, _Entry):
            entries.append(found)
        else:
            reasons.append(Reason(f"The array {quoted(name)} has a type, a shape and a place.", found, FIX))
    return entries, reasons


def _entry(name: str, line: Any) -> _Entry | str:
    """A line of the header, or what is wrong with it."""
    if not isinstance(line, dict) or set(line) != {"dtype", "shape", "data_offsets"}:
        return "other fields than dtype, shape and data_offsets"
    kind, shape, places = line["dtype"], line["shape"], line["data_offsets"]
    if not isinstance(kind, str) or kind not in TYPES:
        return f"type {quoted(str(kind))}; allowed are {', '.join(TYPES)}"
    if not _counts(shape) or len(shape) > MAX_DIMENSIONS:
        return f"shape {quoted(str(shape))}"
    if not _counts(places) or len(places) != 2:
        return f"place {quoted(str(places))}"
    return _Entry(name, kind, tuple(shape), *places)


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 62 for value in values)


def _name_complaints(found: set[str], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Reason]:
    missing, unknown = [name for name in shapes if name not in found], sorted(found - set(shapes))
    rule = f"The file holds the arrays {', '.join(shapes)}."
    if missing:
        yield Reason(rule, f"missing: {', '.join(missing[:20])}", "Add the missing arrays.", len(missing))
    if unknown:
        shown = ", ".join(map(quoted, unknown[:SHOWN]))
        yield Reason(rule, f"unknown: {shown}", "Remove or rename the unknown arrays.", len(unknown))


def _shape_complaints(entries: list[_Entry], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Reason]:
    for entry in entries:
        wanted = shapes.get(entry.name, entry.shape)
        if entry.shape != wanted:
            rule = f"The array {quoted(entry.name)} has the shape {wanted}."
            yield Reason(rule, str(entry.shape), "Reshape it, or fill it up.")
        elif entry.end - entry.begin != entry.nbytes:
            found = f"{quoted(entry.name)} claims {entry.nbytes:,} bytes and has {entry.end - entry.begin:,}"
            yield Reason("Every array is as long as its header says.", found, FIX)


def _place_complaints(entries: list[_Entry], length: int) -> list[Reason]:
    """What is wrong when the places do not cover the data one after the other."""
    expected = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != expected:
            found = f"{quoted(entry.name)} begins at byte {entry.begin:,}, expected {expected:,}"
            return [Reason("Arrays lie one after the other, without gaps and overlaps.", found, FIX)]
        expected = entry.end
    if expected != length:
        found = f"{expected:,} bytes in the header, {length:,} in the file"
        return [Reason("The file is as long as its header says.", found, FIX)]
    return []


def _array(file: IO[bytes], start: int, entry: _Entry) -> NDArray:
    file.seek(start + entry.begin)
    stored = np.frombuffer(file.read(entry.nbytes), TYPES[entry.kind]).reshape(entry.shape)
    if entry.kind == "BF16":
        # The upper half of a single-precision number.
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)
