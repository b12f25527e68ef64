"""Runs a membership attack on a challenge. Loads torch."""

from typing import TYPE_CHECKING

import numpy as np

from app.attacks.membership.base import MembershipAttack, Progress, Records
from app.bundles import Bundle
from app.onnx_models.classifiers import Task
from app.tracks.membership import classifier

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings


def answer(
    attack: MembershipAttack,
    public: Bundle,
    settings: "Settings",
    rng: np.random.Generator,
    device: str,
    progress: Progress,
) -> Bundle:
    """A score for each candidate."""
    candidates = Records(public["candidates_x"], public["candidates_y"])
    population = Records(public["population_x"], public["population_y"])
    task = Task(candidates.x.shape[1:], int(public["classes"]), "records")
    model = classifier.from_bytes(public["model"], settings, task)
    scores = attack(classifier.target(model, device), candidates, population, rng, device, progress)
    return {"record_id": public["record_id"], "membership_score": np.asarray(scores, np.float64)}
