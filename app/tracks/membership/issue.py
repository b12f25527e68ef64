"""What the round issues to a team before it defends."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from app import bundles
from app.tracks.base import Seat
from app.tracks.membership.material import Material, training_set

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

TRAINING, POPULATION, ABOUT = "training_set.npz", "population.npz", "about.json"


def write(found: Material, settings: "Settings", seat: Seat, folder: Path) -> list[Path]:
    """Write the secret training set, the population (npz with x and y) and what is known of both (JSON)."""
    training = training_set(found, seat)
    bundles.write({"x": training.x, "y": training.y}, folder / TRAINING)
    bundles.write({"x": found.population.x, "y": found.population.y}, folder / POPULATION)
    (folder / ABOUT).write_text(json.dumps(about(found, settings), ensure_ascii=False, indent=1), encoding="utf-8")
    return [folder / TRAINING, folder / POPULATION, folder / ABOUT]


def about(found: Material, settings: "Settings") -> dict[str, object]:
    """What a team needs to know to build a model."""
    records = found.about
    return {
        "record_shape": list(records.shape),
        "classes": records.classes,
        "words" if records.is_text else "class_names": list(records.class_names),
        "feature_names": list(records.feature_names),
        "label_noise": 0.0 if records.is_text else settings.LABEL_NOISE,
        "max_model_mb": settings.MAX_MODEL_MB,
        "max_million_operations": settings.MAX_MILLION_OPERATIONS,
        "min_accuracy": settings.MIN_ACCURACY,
    }
