"""Reads and writes the npz of perturbed inputs that an attacker uploads; enforces ball and box."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import bundles
from app.bundles import ArraySpec, Bundle
from app.errors import InvalidUpload, Reason

TOLERANCE = 1e-6
"""How far a value or a distance may exceed its bound: what rounding to single precision can do."""
PREFIX = "team_"
SHOWN = 5
SPARE_BYTES = 8192
PRECISE = 4


def read(upload: Path, publics: Mapping[int, Bundle]) -> dict[int, Bundle]:
    """The answers by team id, {"inputs": float32 or float64 (n, 1, 8, 8)}.

    Raises InvalidUpload with every reason at once: arrays of others than the opponents, other shapes or types, NaN,
    values outside of [0, 1], inputs outside of the ball.
    """
    spec = {name_of(team): ArraySpec("f", public["inputs"].shape) for team, public in publics.items()}
    most = sum(public["inputs"].size * 8 + SPARE_BYTES for public in publics.values())
    arrays = bundles.read(upload, spec, most)
    reasons = [
        reason for team, public in publics.items() for reason in _complaints(team, arrays[name_of(team)], public)
    ]
    if reasons:
        raise InvalidUpload(reasons)
    return {team: {"inputs": arrays[name_of(team)]} for team in publics}


def write(answers: Mapping[int, Bundle], path: Path) -> None:
    """Write answers (team id -> answer) as the npz that a team would upload."""
    bundles.write({name_of(team): answer["inputs"] for team, answer in answers.items()}, path)


def name_of(team: int) -> str:
    """The name of the array for an opponent."""
    return f"{PREFIX}{team}"


def distances(moved: NDArray, originals: NDArray, norm: str) -> NDArray[np.float64]:
    """(n,): how far each input was moved, in double precision."""
    change = (moved.astype(np.float64) - originals.astype(np.float64)).reshape(len(moved), -1)
    return np.asarray(np.linalg.norm(change, ord=np.inf if norm == "linf" else 2, axis=1))


def _complaints(team: int, moved: NDArray, public: Bundle) -> Iterator[Reason]:
    name = name_of(team)
    if moved.dtype.itemsize < PRECISE:
        rule = f"The array {name} has the type float32 or float64."
        yield Reason(rule, str(moved.dtype), "Convert it with array.astype(numpy.float32) before you project.")
    # Written so that a value that is no number is outside as well.
    excess = np.where(moved >= 0.0, moved - 1.0, -moved).astype(np.float64).reshape(len(moved), -1).max(axis=1)
    outside = np.flatnonzero(~(excess <= TOLERANCE))
    if len(outside):
        where = _rows(outside, [f"{value:.6g} outside" for value in excess[outside[:SHOWN]]])
        yield Reason(
            f"All values of {name} lie between 0 and 1.", where, "Clip: numpy.clip(x, 0.0, 1.0).", len(outside)
        )
    norm, epsilon = str(public["norm"]), float(public["epsilon"])
    far = distances(moved, public["inputs"], norm)
    away = np.flatnonzero(~(far <= epsilon + TOLERANCE))
    if len(away):
        rule = f"Every input of {name} lies within {epsilon:g} of the original in the norm {norm}."
        where = _rows(away, [f"distance {value:.6g}" for value in far[away[:SHOWN]]])
        fix = "Project the change onto the ball, keep the order of the inputs, and use this team's newest file."
        yield Reason(rule, where, fix, len(away))


def _rows(rows: NDArray[np.int64], values: list[str]) -> str:
    texts = [f"row {row}: {value}" for row, value in zip(rows[:SHOWN], values, strict=True)]
    return ", ".join(texts) + (", …" if len(rows) > SHOWN else "")
