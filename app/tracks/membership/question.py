"""What the referee asks about a defence, and the files that opponents download."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app import bundles
from app.bundles import Bundle
from app.tracks.base import Challenge, Seat
from app.tracks.membership import drift, material
from app.tracks.membership.material import Material

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

LARGEST_ID = 10**9
CANDIDATES = "team_{team}_candidates.npz"
STRANGER = -1
"""The row of a candidate that stands in nobody's training set."""


def challenge(
    defence: Bundle, found: Material, settings: "Settings", seat: Seat, rng: np.random.Generator
) -> Challenge:
    """The model, members and strangers in equal number under random ids, and the population.

    Candidates are sorted by id, so that neither ids nor order say anything. Raises UnfairSplitError when members and
    strangers cannot be drawn alike.
    """
    split = material.halves(found, seat)
    pairs = _pairs(found, split, settings.MEMBERS, rng)
    places = np.concatenate([split.members[pairs], split.strangers[pairs]])
    row = np.argsort(split.order)  # The row of the training set that holds each pair's member.
    rows = np.concatenate([row[pairs], np.full(len(pairs), STRANGER)])
    ids = rng.choice(LARGEST_ID, len(places), replace=False)
    order = np.argsort(ids)
    candidates = found.pool.take(places[order])
    public = {
        "model": defence["model"],
        "classes": np.array(found.about.classes),
        "is_text": np.array(found.about.is_text),
        "record_id": ids[order],
        "candidates_x": candidates.x,
        "candidates_y": candidates.y,
        "population_x": found.population.x,
        "population_y": found.population.y,
    }
    if found.about.is_text:
        public["words"] = np.array(found.about.class_names)
    secret = {"record_id": ids[order], "is_member": rows[order] != STRANGER, "row": rows[order]}
    return Challenge({name: values.copy() for name, values in public.items()}, secret)


def _pairs(found: Material, split: material.Halves, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) pairs whose members and strangers look alike."""
    for _ in range(drift.TRIES):
        pairs = rng.choice(len(split.members), count, replace=False)
        if drift.is_fair(found.pool.take(split.members[pairs]), found.pool.take(split.strangers[pairs]), rng):
            return pairs
    raise drift.UnfairSplitError(f"{drift.TRIES} draws of members and strangers differ")


def write(public: Bundle, team: int, folder: Path) -> list[Path]:
    """Write the model as it was uploaded, and npz files of the candidates and of the population."""
    model = folder / f"team_{team}_model.onnx"
    candidates, population = folder / CANDIDATES.format(team=team), folder / f"team_{team}_population.npz"
    model.write_bytes(public["model"].tobytes())
    records = {"record_id": public["record_id"], "x": public["candidates_x"], "y": public["candidates_y"]}
    bundles.write(records, candidates)
    bundles.write({"x": public["population_x"], "y": public["population_y"]}, population)
    return [model, candidates, population]


def asked(team: int, folder: Path) -> Bundle:
    """The numbers of the candidates that `write` wrote. Raises InvalidUpload."""
    return {"record_id": bundles.read(folder / CANDIDATES.format(team=team))["record_id"]}
