"""Tables in csv files with a header, a column `label`, and columns of numbers or of a few different texts.

Pyarrow opens the path itself, and reads every value as text first: what a column holds is decided here.
"""

import csv as plain_csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from app.archives import SHOWN, quoted
from app.csv_tables import PATTERNS
from app.errors import InvalidUpload, Reason
from app.record_sets.arrays import class_complaints, record_complaints
from app.record_sets.columns import one_hot, scaled
from app.record_sets.records import RecordLimits, RecordSet

LABEL = "label"
BLOCK = 1 << 20
"""Bytes per batch; no line may be longer."""
MAX_HEADER = 256 * 1024
MAX_BAD_ROWS = 1_000
HUGE = float(np.finfo(np.float32).max)


@dataclass
class _Lengths:
    """Lines with too few or too many values."""

    places: list[str] = field(default_factory=list)
    count: int = 0

    def note(self, row: Any) -> str:
        self.count += 1
        if len(self.places) < SHOWN:
            self.places.append(f"line {row.number} has {row.actual_columns}")
        return "skip" if self.count < MAX_BAD_ROWS else "error"


@dataclass(frozen=True)
class _Column:
    """One column as features, or what is wrong with it."""

    names: tuple[str, ...] = ()
    values: NDArray[np.float32] | None = None
    reason: Reason | None = None


def read(path: Path, limits: RecordLimits) -> RecordSet:
    """The records of a csv; numbers are standardised, texts become one column per category.

    Raises InvalidUpload with every reason at once.
    """
    header = _header(path, limits)
    table = _text(path, header, limits)
    _refuse(record_complaints(len(table), len(header) - 1, limits))
    names, places = _labels(table.column(LABEL))
    columns = [_column(name, table.column(name), limits) for name in header if name != LABEL]
    reasons = [column.reason for column in columns if column.reason] + class_complaints(len(names), limits)
    width = sum(len(column.names) for column in columns)
    _refuse(reasons or record_complaints(len(table), width, limits))
    rows = np.concatenate([column.values for column in columns if column.values is not None], axis=1)
    return RecordSet(rows, places, len(names), names, tuple(name for column in columns for name in column.names))


def _header(path: Path, limits: RecordLimits) -> list[str]:
    """The names of the columns, in the order of the file."""
    with path.open("rb") as file:
        raw = file.read(MAX_HEADER)
    line = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n").partition(b"\n")[0]
    try:
        names = next(plain_csv.reader([line.decode("utf-8")], strict=True), [])
    except (UnicodeDecodeError, plain_csv.Error) as error:
        found = quoted(line[:40].decode("latin-1"))
        fix = "Save it as comma-separated text in UTF-8."
        raise InvalidUpload([Reason("The csv is text in UTF-8 with a header.", found, fix)]) from error
    names = [name.strip() for name in names]
    _refuse(_header_complaints(names, limits))
    return names


def _header_complaints(names: list[str], limits: RecordLimits) -> Iterator[Reason]:
    if not 2 <= len(names) <= limits.columns:
        rule = f"The csv has 2 to {limits.columns:,} columns, separated by commas."
        yield Reason(rule, f"{len(names):,}", "Separate values with commas, not with semicolons or tabs.")
    if LABEL not in names:
        found = f"columns {', '.join(map(quoted, names[:SHOWN]))}{', …' if len(names) > SHOWN else ''}"
        yield Reason(f"One column is named {LABEL}: the class of each record.", found, "Rename that column.")
    twice = sorted({name for name in set(names) if names.count(name) > 1}) if len(names) <= limits.columns else []
    if twice:
        found = f"twice: {', '.join(map(quoted, twice[:SHOWN]))}"
        yield Reason("Every column has its own name.", found, "Rename these columns.", len(twice))
    if "" in names:
        fix = "Name every column; an index column is not wanted."
        yield Reason("Every column has a name.", f"column {names.index('') + 1}", fix, names.count(""))


def _text(path: Path, header: list[str], limits: RecordLimits) -> pa.Table:
    """All values as text, without spaces around them."""
    lengths, batches, count = _Lengths(), [], 0
    end = ""
    try:
        with _reader(path, header, lengths) as reader:
            for batch in reader:
                count += len(batch)
                if count > limits.records:
                    _refuse(record_complaints(count, len(header) - 1, limits))
                batches.append(batch)
    except pa.ArrowInvalid as error:
        end = str(error)
    _refuse(_reading_complaints(len(header), lengths, end))
    schema = pa.schema([(name, pa.string()) for name in header])
    table = pa.Table.from_batches(batches, schema)
    trimmed = [pc.utf8_trim_whitespace(column) for column in table.columns]
    return pa.table(dict(zip(header, trimmed, strict=True)))


def _reader(path: Path, header: list[str], lengths: _Lengths) -> csv.CSVStreamingReader:
    return csv.open_csv(
        str(path),
        csv.ReadOptions(use_threads=False, block_size=BLOCK, skip_rows=1, column_names=header),
        csv.ParseOptions(invalid_row_handler=lengths.note),
        csv.ConvertOptions(
            column_types={name: pa.string() for name in header}, null_values=[], strings_can_be_null=False
        ),
        memory_pool=pa.system_memory_pool(),
    )


def _reading_complaints(width: int, lengths: _Lengths, end: str) -> Iterator[Reason]:
    if lengths.count:
        found = ", ".join(lengths.places) + (", …" if lengths.count > SHOWN else "")
        fix = "Repair or remove these lines; put texts that hold commas into double quotes."
        yield Reason(f"Every line has {width} values.", found, fix, lengths.count)
    if end and lengths.count < MAX_BAD_ROWS:
        yield Reason("The csv can be read to its end.", quoted(end), "Write the file again, as text in UTF-8.")


def _labels(column: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of the classes and the class of each record; numbers are in their own order."""
    names, places = _categories(column)
    try:
        order = sorted(range(len(names)), key=lambda place: float(names[place]))
    except ValueError:
        order = sorted(range(len(names)), key=lambda place: names[place])
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return tuple(_shown(names[place]) for place in order), rank[places]


def _categories(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _column(name: str, column: pa.ChunkedArray, limits: RecordLimits) -> _Column:
    fits = pc.match_substring_regex(column, PATTERNS["float64"]).combine_chunks().to_numpy(zero_copy_only=False)
    if fits.all():
        return _numbers(name, column)
    texts, places = _categories(column)
    if len(texts) > limits.categories:
        return _Column(reason=_mixed(name, column, fits, len(texts), limits))
    order = np.argsort(np.array(texts, dtype=object))
    rank = np.empty(len(texts), np.int64)
    rank[order] = np.arange(len(texts))
    names = tuple(_shown(f"{name}={texts[place]}") for place in order)
    return _Column(names, one_hot(rank[places], len(texts)))


def _numbers(name: str, column: pa.ChunkedArray) -> _Column:
    # A plus sign is a number's own, but unknown to the cast.
    texts = pc.replace_substring_regex(column, r"^\+", "")
    values = pc.cast(texts, pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(~(np.abs(values) <= HUGE))
    if len(bad):
        found = ", ".join(f"record {row + 1}: {quoted(column[int(row)].as_py())}" for row in bad[:SHOWN])
        rule = f"The column {quoted(name)} holds finite numbers."
        return _Column(reason=Reason(rule, found, "Fill in or remove these records.", len(bad)))
    return _Column((_shown(name),), scaled(values[:, None]))


def _mixed(name: str, column: pa.ChunkedArray, fits: NDArray[np.bool_], texts: int, limits: RecordLimits) -> Reason:
    bad = np.flatnonzero(~fits)
    found = ", ".join(f"record {row + 1}: {quoted(column[int(row)].as_py())}" for row in bad[:SHOWN])
    rule = f"The column {quoted(name)} holds numbers only, or at most {limits.categories} different texts."
    fix = "Write plain numbers with a decimal point; merge rare texts; remove columns of names or identifiers."
    return Reason(rule, f"{texts:,} different values, no numbers: {found}", fix, len(bad))


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:80]


def _refuse(reasons: Any) -> None:
    if found := list(reasons):
        raise InvalidUpload(found)
