"""Answers as tables: one csv in a zip, with one row for each question that each opponent's challenge asks."""

import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from app import archives, csv_tables
from app.csv_tables import SHOWN, Table
from app.errors import Reason

BYTES_PER_ROW = 64
BYTES_PER_NUMBER = 40
SPARE_ROWS = 1000
MAX_RATIO = 1100
"""No ratio is too large here (deflate itself stops at 1,032): honest answers are repetitive, and rows are few."""
LEVEL = 1
"""Deflate's quickest level; the files are a third larger than at its default and cost a quarter of the time."""


@dataclass(frozen=True)
class Form:
    """What an answer's csv must hold."""

    team: str
    """The column that names the opponent."""
    item: str
    """The column that names the question."""
    numbers: tuple[str, ...]
    """The columns of the answer."""
    items: str
    """What a file of questions is called in a refusal, as in "this team's test file"."""

    def read(self, upload: Path, asked: Mapping[int, NDArray[np.int64]]) -> Table:
        """The rows of an uploaded csv.zip; `asked` holds the questions of each opponent.

        Raises InvalidUpload when the file cannot be read at all; broken lines are the table's faults.
        """
        most = 2 * sum(map(len, asked.values())) + SPARE_ROWS
        types = {self.team: "int64", self.item: "int64"} | dict.fromkeys(self.numbers, "float64")
        max_bytes = most * (BYTES_PER_ROW + BYTES_PER_NUMBER * len(self.numbers))
        with tempfile.TemporaryDirectory(prefix="answer-") as folder:
            path = archives.extract_single(upload, Path(folder), (".csv",), max_bytes, MAX_RATIO)
            return csv_tables.read(path, types, most)

    def complaints(self, table: Table, asked: Mapping[int, NDArray[np.int64]]) -> Iterator[Reason]:
        """Teams and questions that are not asked, asked but missing, or answered twice."""
        expected = sum(map(len, asked.values()))
        rule = f"The csv has exactly one row for each {self.item} of each opponent: {expected:,} rows."
        team = table.columns[self.team]
        opponents = np.array(sorted(asked), np.int64)
        foreign = np.flatnonzero(~np.isin(team, opponents))
        if len(foreign):
            values = [f"{self.team} {one}" for one in team[foreign[:SHOWN]]]
            fix = f"Answer for your opponents only: {', '.join(map(str, opponents[:20]))}."
            yield Reason(rule, place(table, foreign, values), fix, len(foreign))
        for opponent in opponents:
            rows = np.flatnonzero(team == opponent)
            yield from self._item_complaints(table, rule, int(opponent), rows, asked[int(opponent)])

    def _item_complaints(
        self, table: Table, rule: str, team: int, rows: NDArray[np.int64], wanted: NDArray[np.int64]
    ) -> Iterator[Reason]:
        item = table.columns[self.item][rows]
        _, first = np.unique(item, return_index=True)
        for found, word, fix in (
            (
                rows[~np.isin(item, wanted)],
                "unknown",
                f"Use the ids of {self.items}; after a new defence, download it again.",
            ),
            (np.delete(rows, first), "repeated", "Keep one row for each of them."),
        ):
            if len(found):
                values = [str(one) for one in table.columns[self.item][found[:SHOWN]]]
                where = f"{self.team} {team}, {word} ids: {place(table, found, values)}"
                yield Reason(rule, where, fix, len(found))
        missing = np.setdiff1d(wanted, item)
        if len(missing):
            shown = ", ".join(map(str, missing[:SHOWN])) + (", …" if len(missing) > SHOWN else "")
            where = f"{self.team} {team}, missing ids: {shown}"
            yield Reason(rule, where, "Add a row for each of these.", len(missing))

    def rows(self, table: Table, team: int, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each question of one opponent, in the order of `wanted`; every one must be there."""
        rows = np.flatnonzero(table.columns[self.team] == team)
        item = table.columns[self.item][rows]
        order = np.argsort(item)
        found: NDArray[np.int64] = rows[order][np.searchsorted(item[order], wanted)]
        return found

    @property
    def columns(self) -> Sequence[str]:
        """All columns, in the order in which they are written."""
        return (self.team, self.item, *self.numbers)


def place(table: Table, rows: NDArray[np.int64], values: list[str]) -> str:
    """The lines of the first of these rows, with what stands there."""
    lines = table.lines(rows[:SHOWN])
    texts = [f"line {line}: {value}" for line, value in zip(lines, values, strict=True)]
    return ", ".join(texts) + (", …" if len(rows) > SHOWN else "")


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """The one member, named like the zip without .zip, of a new zip; its date is fixed, so that equal is equal."""
    name = path.name.removesuffix(".zip")
    member = name if name.endswith(".csv") else f"{name}.csv"
    # Opened by name, a member gets the date 1980-01-01: equal content becomes an equal file.
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive,
        archive.open(member, "w", force_zip64=True) as sink,
    ):
        yield sink
