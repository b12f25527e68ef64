"""Reads and writes the npz of reconstructions that an attacker uploads."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import bundles
from app.bundles import ArraySpec, Bundle
from app.errors import InvalidUpload, Reason
from app.tracks.gradient_leakage.rules import from_array

TOLERANCE = 1e-6
"""How far a value may lie outside of [0, 1]: what rounding to single precision can do."""
PREFIX, LABELS = "team_", "_labels"
UNKNOWN = -1
"""The label of a record of which the attacker says nothing."""
SHOWN = 5
SPARE_BYTES = 8192


def read(upload: Path, publics: Mapping[int, Bundle]) -> dict[int, Bundle]:
    """The answers by team id: {"inputs": (K, B, ...) in [0, 1]}, and {"labels": (K, B)} if the attacker hands them in.

    Raises InvalidUpload with every reason at once.
    """
    known = {team: from_array(public["rules"]) for team, public in publics.items()}
    spec, most = {}, 0
    for team, rules in known.items():
        spec[name_of(team)] = ArraySpec("f", rules.answer_shape)
        spec[name_of(team) + LABELS] = ArraySpec("iu", rules.answer_shape[:2], optional=True)
        most += 8 * int(np.prod(rules.answer_shape)) + 8 * rules.batches * rules.records + 2 * SPARE_BYTES
    arrays = bundles.read(upload, spec, most)
    reasons = [reason for team, rules in known.items() for reason in _complaints(name_of(team), arrays, rules.classes)]
    if reasons:
        raise InvalidUpload(reasons)
    return {team: _answer(name_of(team), arrays) for team in publics}


def write(answers: Mapping[int, Bundle], path: Path) -> None:
    """Write answers (team id -> answer) as the npz that a team would upload."""
    arrays = {name_of(team): answer["inputs"] for team, answer in answers.items()}
    labels = {name_of(team) + LABELS: answer["labels"] for team, answer in answers.items() if "labels" in answer}
    bundles.write({**arrays, **labels}, path)


def name_of(team: int) -> str:
    """The name of the array for an opponent."""
    return f"{PREFIX}{team}"


def _answer(name: str, arrays: Bundle) -> Bundle:
    labels = arrays.get(name + LABELS)
    inputs = arrays[name].astype(np.float64).clip(0.0, 1.0)
    return {"inputs": inputs, **({} if labels is None else {"labels": labels.astype(np.int64)})}


def _complaints(name: str, arrays: Bundle, classes: int) -> Iterator[Reason]:
    inputs = arrays[name]
    # Written so that a value that is no number is outside as well.
    outside = ~((inputs >= -TOLERANCE) & (inputs <= 1.0 + TOLERANCE))
    if count := int(outside.sum()):
        rule = f"All values of {name} lie between 0 and 1."
        yield Reason(rule, _places(outside, inputs), "Clip: numpy.clip(x, 0.0, 1.0).", count)
    labels = arrays.get(name + LABELS)
    if labels is None:
        return
    strange = ~((labels >= UNKNOWN) & (labels < classes)) if labels.dtype.kind == "i" else labels >= classes
    if count := int(strange.sum()):
        rule = f"The labels in {name}{LABELS} are 0 to {classes - 1}, or {UNKNOWN} where you do not know."
        yield Reason(rule, _places(strange, labels), "Hand in class numbers, or leave the array out.", count)


def _places(bad: NDArray[np.bool_], values: NDArray) -> str:
    first = np.argwhere(bad)[:SHOWN]
    texts = [f"{tuple(map(int, place))}: {values[tuple(place)]:.6g}" for place in first]
    return ", ".join(texts) + (", …" if bad.sum() > SHOWN else "")
