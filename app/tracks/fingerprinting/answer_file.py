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
from app.tracks.answer_tables import Form, place

if TYPE_CHECKING:
    from app.tracks.fingerprinting.settings import Settings

PREFIX = "proba_class_"
EXACT = 5e-7
"""Single precision sums to 1 this closely; such rows are kept as they are."""


def form_of(settings: "Settings") -> Form:
    """The columns of the csv, those of the probabilities in the order of the cells."""
    team, capture = settings.attack_columns
    cells = tuple(f"{PREFIX}{cell}" for cell in range(1, settings.NB_CLASSES + 1))
    return Form(team, capture, cells, "this team's test file")


def questions(test_file: Path, settings: "Settings") -> Bundle:
    """The captures to classify, {"test_capture": int64[n]}, of a file that an opponent downloads.

    Raises InvalidUpload.
    """
    _, _, size, time = settings.defence_columns
    capture = settings.attack_columns[1]
    types = {capture: "int64", size: "int32", time: "float64"}
    with tempfile.TemporaryDirectory(prefix="challenge-") as folder:
        path = archives.extract_single(test_file, Path(folder), (".csv",), settings.MAX_UNZIPPED_MB * 1_000_000)
        table = csv_tables.read(path, types, settings.MAX_ROWS)
    if table.faults:
        raise InvalidUpload(table.faults)
    return {"test_capture": np.unique(table.columns[capture])}


def read(upload: Path, publics: Mapping[int, Bundle], settings: "Settings") -> dict[int, Bundle]:
    """The answers by team id, rows in the order of that team's public["test_capture"] and rescaled to sum 1.

    Keys: capture int64[m], probabilities float64[m, N]. Raises InvalidUpload with every reason at once.
    """
    asked = {team: public["test_capture"] for team, public in publics.items()}
    form = form_of(settings)
    table = form.read(upload, asked)
    reasons = list(table.faults)
    probabilities = np.stack([table.columns[name] for name in form.numbers], axis=1)
    if table.is_telling or not reasons:
        reasons += _row_complaints(table, probabilities, settings)
        reasons += form.complaints(table, asked)
    if reasons:
        raise InvalidUpload(reasons)
    return {
        team: {"capture": wanted, "probabilities": _rescaled(probabilities[form.rows(table, team, wanted)])}
        for team, wanted in asked.items()
    }


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
        yield Reason("Every probability lies between 0 and 1.", place(table, places[:, 0], values), fix, len(places))
    sums = np.where(outside.any(axis=1, keepdims=True), 1.0 / settings.NB_CLASSES, probabilities).sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1) > tolerance)
    if len(wrong):
        values = [f"sum {total:.6g}" for total in sums[wrong[:SHOWN]]]
        rule = f"The probabilities of one row sum to 1, within {tolerance:g}."
        fix = "Divide each row by its sum, and write at least six decimals."
        yield Reason(rule, place(table, wrong, values), fix, len(wrong))
