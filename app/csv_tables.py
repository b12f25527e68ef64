"""Tables of numbers in csv files from strangers: typed, bounded, and with every complaint by line number.

A file is read twice at most: once fast by types, and, only if that fails, once as raw text to find out why.
Pyarrow opens the path itself: handed a Python file object, it hangs or aborts on hostile files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from app.archives import quoted
from app.errors import InvalidUpload, Reason

BLOCK = 256 * 1024
"""Bytes per batch; pyarrow reads up to 32 of them ahead. No line may be longer."""
SHOWN = 5
MAX_BAD_ROWS = 10_000
"""After that many rows of a wrong length, the rest of the file is not looked at."""
TOLERATED = 0.01
"""With a larger share of broken lines, what the remaining ones say is not worth checking."""
WHOLE = {"int32": r"-?0*(\d{1,9}|1\d{9}|20\d{8})", "int64": r"-?0*(\d{1,18}|[0-8]\d{18})"}
REAL = r"[+-]?((\d{1,40}\.?\d{0,300}|\.\d{1,300})([eE]\+?\d{1,2}|[eE]-[12]?\d{1,2})?|(?i:nan|inf|infinity))"
PATTERNS = {name: rf"^[ \t]*{number}[ \t]*$" for name, number in {**WHOLE, "float64": REAL}.items()}


@dataclass(frozen=True)
class Table:
    """The readable rows of a csv file, by column."""

    columns: Mapping[str, NDArray[Any]]
    line: NDArray[np.int64] | None
    """The line number of each row; None if row i stands on line i + 2."""
    faults: tuple[Reason, ...]
    """What is wrong with the lines that are not in the table."""
    is_telling: bool
    """Whether enough rows are left for checks of their content to make sense."""

    def __len__(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())))

    def lines(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The line numbers of the rows at `rows`, counted from 1, the header included."""
        return rows + 2 if self.line is None else self.line[rows]


@dataclass
class _Rows:
    """Columns that are filled from the front, allocated once for a known number of rows."""

    columns: dict[str, NDArray[Any]]
    capacity: int
    filled: int = 0

    @classmethod
    def empty(cls, types: Mapping[str, str], capacity: int) -> "_Rows":
        return cls({name: np.empty(capacity, types[name]) for name in types}, capacity)

    def append(self, batch: Mapping[str, NDArray[Any]], count: int) -> None:
        if self.filled + count > self.capacity:
            rule = "All lines of the csv end in the same way (LF or CRLF)."
            raise InvalidUpload([Reason(rule, "lone carriage returns", "Save the file with LF line ends.")])
        for name, values in batch.items():
            self.columns[name][self.filled : self.filled + count] = values
        self.filled += count

    def cut(self) -> dict[str, NDArray[Any]]:
        return {name: values[: self.filled] for name, values in self.columns.items()}


@dataclass
class _Faults:
    """Bad lines as they are found: counts, and the first few places."""

    skipped: list[int] = field(default_factory=list)
    """Line numbers of rows with too few or too many values."""
    lengths: list[str] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    blanks: int = 0
    values: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """By column, pairs of a raw row number and the value there."""
    counts: dict[str, int] = field(default_factory=dict)
    broken: int = 0

    def skip(self, row: Any) -> str:
        self.skipped.append(row.number)
        if len(self.lengths) < SHOWN:
            self.lengths.append(f"line {row.number} has {row.actual_columns}")
        return "skip" if len(self.skipped) < MAX_BAD_ROWS else "error"


def read(path: Path, types: Mapping[str, str], max_rows: int) -> Table:
    """Read a csv whose header names exactly the keys of `types`, in any order.

    The values of `types` are "int32", "int64" or "float64". Raises InvalidUpload for a file that cannot be read at
    all (header, number of rows); lines that break the rules are the table's `faults`. NaN and infinity are numbers.
    """
    header = _header(path, list(types))
    capacity = _count_rows(path)
    if not 0 < capacity <= max_rows:
        rule = f"The csv has between 1 and {max_rows:,} rows."
        raise InvalidUpload([Reason(rule, f"{capacity:,} rows", "Upload all rows of the data, and no others.")])
    try:
        rows = _Rows.empty(types, capacity)
        for batch in _batches(path, header, {name: pa.type_for_alias(types[name]) for name in types}):
            rows.append({name: _values(batch.column(name), types[name]) for name in types}, len(batch))
        return Table(rows.cut(), None, (), is_telling=True)
    except pa.ArrowInvalid:
        return _read_raw(path, header, types, capacity)


def _values(column: Any, type_name: str) -> NDArray[Any]:
    """The numbers of a column without nulls; `to_numpy` would import pandas for that."""
    stored = np.frombuffer(column.buffers()[1], np.dtype(type_name))
    return stored[column.offset : column.offset + len(column)]


def _header(path: Path, wanted: list[str]) -> list[str]:
    """The names of the columns in the order of the file."""
    limit = max(4096, sum(map(len, wanted)) + 4 * len(wanted))
    with path.open("rb") as file:
        raw = file.read(limit)
    line = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n").partition(b"\n")[0]
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = quoted(line[:40].decode("latin-1"))
        reason = Reason("The csv is text in UTF-8.", found, "Save it as comma-separated text in UTF-8.")
        raise InvalidUpload([reason]) from error
    names = text.split(",")
    if sorted(names) != sorted(wanted):
        raise InvalidUpload([_wrong_header(text, names, wanted)])
    return names


def _wrong_header(text: str, names: list[str], wanted: list[str]) -> Reason:
    shown = ", ".join(wanted if len(wanted) <= 8 else [*wanted[:4], "…", wanted[-1]])
    rule = f"The first line of the csv names exactly these {len(wanted)} columns, in any order: {shown}."
    missing, unknown = sorted(set(wanted) - set(names)), sorted(set(names) - set(wanted))
    twice = sorted({name for name in set(names) if names.count(name) > 1}) if len(names) < 2 * len(wanted) + 99 else []
    parts = {"missing": missing, "unknown": unknown, "twice": twice}
    found = "; ".join(
        f"{word}: {', '.join(map(quoted, part[:SHOWN]))}{', …' if len(part) > SHOWN else ''}"
        for word, part in parts.items()
        if part
    )
    fix = "Rename, add or remove columns; an index column is not wanted."
    if '"' in text or ";" in text or "\t" in text or ", " in text:
        fix = "Separate the names with commas only: no quotes, spaces, semicolons or tabs."
    return Reason(rule, found, fix, max(len(missing) + len(unknown) + len(twice), 1))


def _count_rows(path: Path) -> int:
    """The number of lines after the header, without parsing them."""
    feeds = returns = 0
    last = b""
    with path.open("rb") as file:
        while chunk := file.read(BLOCK):
            feeds += chunk.count(b"\n")
            returns += chunk.count(b"\r") if b"\r" in chunk else 0
            last = chunk[-1:]
    return max(feeds, returns) - (last in b"\r\n")


def _batches(path: Path, header: list[str], types: Mapping[str, pa.DataType], skip: Any = None) -> Iterator[Any]:
    """Record batches of about a megabyte; pyarrow.ArrowInvalid where the text does not fit the types."""
    reader = csv.open_csv(
        str(path),
        csv.ReadOptions(use_threads=False, block_size=BLOCK, skip_rows=1, column_names=header),
        csv.ParseOptions(quote_char=False, ignore_empty_lines=False, invalid_row_handler=skip),
        csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False, check_utf8=False),
        memory_pool=pa.system_memory_pool(),  # The others keep what was freed.
    )
    with reader:
        yield from reader


def _read_raw(path: Path, header: list[str], types: Mapping[str, str], capacity: int) -> Table:
    """Read a file with faults as text: the good rows, and a reason for every kind of bad ones."""
    rows, faults, kept, seen = _Rows.empty(types, capacity), _Faults(), [], 0
    end = ""
    try:
        for batch in _batches(path, header, dict.fromkeys(types, pa.binary()), faults.skip):
            good = _find_faults(batch, types, seen, faults)
            texts = batch.filter(pa.array(good))
            rows.append({name: _numbers(texts.column(name), types[name]).to_numpy() for name in types}, len(texts))
            kept.append(seen + np.flatnonzero(good))
            seen += len(batch)
    except pa.ArrowInvalid as error:
        end = str(error)
    line = np.setdiff1d(np.arange(2, 2 + seen + len(faults.skipped)), faults.skipped, assume_unique=True)[:seen]
    bad = faults.broken + len(faults.skipped)
    telling = not end and bad <= TOLERATED * capacity
    reasons = tuple(_reasons(faults, types, line, end))
    return Table(rows.cut(), line[np.concatenate(kept)] if kept else line, reasons, telling and rows.filled > 0)


def _find_faults(batch: Any, types: Mapping[str, str], seen: int, faults: _Faults) -> NDArray[np.bool_]:
    """Which rows of a raw batch are good in every column; the others are noted in `faults`."""
    bad = {name: _bad(batch.column(name), types[name]) for name in types}
    blank = np.logical_and.reduce([pc.equal(pc.binary_length(batch.column(name)), 0).to_numpy(False) for name in types])
    for name in types:
        wrong = np.flatnonzero(bad[name] & ~blank)
        faults.counts[name] = faults.counts.get(name, 0) + len(wrong)
        places = faults.values.setdefault(name, [])
        for row in wrong[: SHOWN - len(places)]:
            places.append((seen + int(row), batch.column(name)[int(row)].as_py().decode("latin-1")))
    faults.blank += [seen + int(row) for row in np.flatnonzero(blank)[: SHOWN - len(faults.blank)]]
    faults.blanks += int(blank.sum())
    any_bad = np.logical_or.reduce([blank, *bad.values()])
    faults.broken += int(any_bad.sum())
    good: NDArray[np.bool_] = ~any_bad
    return good


def _bad(texts: Any, type_name: str) -> NDArray[np.bool_]:
    """Which texts are not numbers of that type."""
    try:
        _numbers(texts, type_name)
    except pa.ArrowInvalid:
        good: NDArray[np.bool_] = pc.match_substring_regex(texts, PATTERNS[type_name]).to_numpy(False)
        return ~good
    return np.zeros(len(texts), bool)


def _numbers(texts: Any, type_name: str) -> Any:
    return pc.cast(pc.utf8_trim_whitespace(pc.cast(texts, pa.string())), pa.type_for_alias(type_name))


def _reasons(faults: _Faults, types: Mapping[str, str], line: NDArray[np.int64], end: str) -> Iterator[Reason]:
    width = len(types)
    if count := len(faults.skipped):
        found = ", ".join(faults.lengths) + (f"; given up after {count:,}" if count >= MAX_BAD_ROWS else "")
        fix = "Repair or remove these lines; separate values with commas, not with semicolons or tabs."
        yield Reason(f"Every line has {width} values.", found, fix, count)
    if faults.blanks:
        found = "line " + ", ".join(str(line[row]) for row in faults.blank)
        yield Reason("No line is blank.", found, "Remove the blank lines.", faults.blanks)
    for name, count in faults.counts.items():
        if count:
            yield _wrong_type(name, types[name], [(int(line[row]), text) for row, text in faults.values[name]], count)
    if "straddl" in end:
        found = f"the line after line {line[-1] if len(line) else 1:,}"
        yield Reason(f"A line has at most {BLOCK:,} bytes.", found, "Write one packet or one answer per line.")
    elif end and len(faults.skipped) < MAX_BAD_ROWS:
        yield Reason("The csv can be read to its end.", quoted(end), "Write the file again.")


def _wrong_type(name: str, type_name: str, places: list[tuple[int, str]], count: int) -> Reason:
    found = ", ".join(f"line {line}: {quoted(text)}" for line, text in places)
    if type_name == "float64":
        return Reason(f"{name} is a number in every line.", found, "Write plain numbers with a decimal point.", count)
    fix = "Write whole numbers without a decimal point (with pandas: .astype(int)) and without quotes."
    return Reason(f"{name} is a whole number in every line.", found, fix, count)
