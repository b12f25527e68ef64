"""Reads the answer that an attacker uploads: a zip of one csv with the class probabilities of every capture."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app import archives, csv_tables
from app.bundles import Bundle
from app.csv_tables import SHOWN, Table
from app.errors import InvalidUpload, Reason

if TYPE_CHECKING:
    from app.tracks.fingerprinting.settings import Settings

PREFIX = "proba_class_"
BYTES_PER_ROW = 64
BYTES_PER_NUMBER = 40
SPARE_ROWS = 1000
EXACT = 5e-7
"""Single precision sums to 1 this closely; such rows are kept as they are."""
MAX_RATIO = 1100
"""No ratio is too large here (deflate itself stops at 1,032): honest answers are repetitive, and rows are few."""


def columns(settings: "Settings") -> list[str]:
    """The names of all columns, those of the probabilities in the order of the cells."""
    return [*settings.attack_columns, *(f"{PREFIX}{cell}" for cell in range(1, settings.NB_CLASSES + 1))]


def read(upload: Path, publics: Mapping[int, Bundle], settings: "Settings") -> dict[int, Bundle]:
    """The answers by team id, rows in the order of that team's public["test_capture"] and rescaled to sum 1.

    Keys: capture int64[m], probabilities float64[m, N]. Raises InvalidUpload with every reason at once.
    """
    expected = sum(len(public["test_capture"]) for public in publics.values())
    names, most = columns(settings), 2 * expected + SPARE_ROWS
    types = {name: "int64" if place < 2 else "float64" for place, name in enumerate(names)}
    max_bytes = most * (BYTES_PER_ROW + BYTES_PER_NUMBER * settings.NB_CLASSES)
    with tempfile.TemporaryDirectory(prefix="answer-") as folder:
        path = archives.extract_single(upload, Path(folder), (".csv",), max_bytes, MAX_RATIO)
        table = csv_tables.read(path, types, most)
    reasons = list(table.faults)
    probabilities = np.stack([table.columns[name] for name in names[2:]], axis=1)
    if table.is_telling or not reasons:
        reasons += _row_complaints(table, probabilities, settings)
        reasons += _id_complaints(table, names, publics, expected)
    if reasons:
        raise InvalidUpload(reasons)
    return _by_team(table.columns[names[0]], table.columns[names[1]], probabilities, publics)


def _by_team(
    team: NDArray[np.int64],
    capture: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    publics: Mapping[int, Bundle],
) -> dict[int, Bundle]:
    """The rows of each team, joined to the public captures by id."""
    answers = {}
    for opponent, public in publics.items():
        rows = np.flatnonzero(team == opponent)
        rows = rows[np.argsort(capture[rows])]
        rows = rows[np.searchsorted(capture[rows], public["test_capture"])]
        answers[opponent] = {"capture": capture[rows], "probabilities": _rescaled(probabilities[rows])}
    return answers


def _rescaled(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that sum to 1; those that do up to rounding stay as they are, bit by bit."""
    positive = probabilities.clip(min=0.0)
    total = positive.sum(axis=1, keepdims=True)
    return np.where(np.abs(total - 1) <= EXACT, positive, positive / total)


def _row_complaints(table: Table, probabilities: NDArray[np.float64], settings: "Settings") -> Iterator[Reason]:
    tolerance = settings.PROBABILITY_TOLERANCE
    outside = ~((probabilities >= -tolerance) & (probabilities <= 1 + tolerance))  # NaN is outside as well.
    places = np.argwhere(outside)
    if len(places):
        values = [f"{PREFIX}{column + 1} = {probabilities[row, column]:g}" for row, column in places[:SHOWN]]
        fix = "Write probabilities, not scores or logarithms (apply a softmax); replace NaN."
        yield Reason("Every probability lies between 0 and 1.", _place(table, places[:, 0], values), fix, len(places))
    sums = np.where(outside.any(axis=1, keepdims=True), 1.0 / settings.NB_CLASSES, probabilities).sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1) > tolerance)
    if len(wrong):
        values = [f"sum {total:.6g}" for total in sums[wrong[:SHOWN]]]
        rule = f"The probabilities of one row sum to 1, within {tolerance:g}."
        fix = "Divide each row by its sum, and write at least six decimals."
        yield Reason(rule, _place(table, wrong, values), fix, len(wrong))


def _id_complaints(table: Table, names: list[str], publics: Mapping[int, Bundle], expected: int) -> Iterator[Reason]:
    """Teams and captures that are not asked for, asked for but missing, or answered twice."""
    team, capture = table.columns[names[0]], table.columns[names[1]]
    rule = f"The csv has exactly one row for each {names[1]} of each opponent: {expected:,} rows."
    opponents = np.array(sorted(publics), np.int64)
    foreign = np.flatnonzero(~np.isin(team, opponents))
    if len(foreign):
        values = [f"{names[0]} {one}" for one in team[foreign[:SHOWN]]]
        asked = ", ".join(map(str, opponents[:20]))
        yield Reason(rule, _place(table, foreign, values), f"Answer for your opponents only: {asked}.", len(foreign))
    for opponent in opponents:
        rows = np.flatnonzero(team == opponent)
        wanted = publics[int(opponent)]["test_capture"]
        yield from _capture_complaints(table, rule, f"{names[0]} {opponent}", rows, capture[rows], wanted)


def _capture_complaints(
    table: Table, rule: str, team: str, rows: NDArray[np.int64], capture: NDArray[np.int64], wanted: NDArray[np.int64]
) -> Iterator[Reason]:
    unknown = rows[~np.isin(capture, wanted)]
    missing = np.setdiff1d(wanted, capture)
    _, first = np.unique(capture, return_index=True)
    again = np.delete(rows, first)
    ids = dict(zip(rows.tolist(), capture.tolist(), strict=True))
    for found, word, fix in (
        (unknown, "unknown", "Use the ids of this team's test file; after a new defence, download it again."),
        (again, "repeated", "Keep one row per capture."),
    ):
        if len(found):
            values = [str(ids[row]) for row in found[:SHOWN].tolist()]
            yield Reason(rule, f"{team}, {word} ids: {_place(table, found, values)}", fix, len(found))
    if len(missing):
        shown = ", ".join(map(str, missing[:SHOWN])) + (", …" if len(missing) > SHOWN else "")
        yield Reason(rule, f"{team}, missing ids: {shown}", "Add a row for each of these captures.", len(missing))


def _place(table: Table, rows: NDArray[np.int64], values: list[str]) -> str:
    lines = table.lines(rows[:SHOWN])
    texts = [f"line {line}: {value}" for line, value in zip(lines, values, strict=True)]
    return ", ".join(texts) + (", …" if len(rows) > SHOWN else "")
