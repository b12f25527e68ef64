"""What the referee asks about a defence, and the files that opponents download."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app import bundles
from app.bundles import ArraySpec, Bundle
from app.tracks.base import Challenge
from app.tracks.robustness.images import Material

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

ASKED = ("inputs", "labels", "norm", "epsilon")
INPUTS = "team_{team}_inputs.npz"


def challenge(defence: Bundle, material: Material, settings: "Settings", rng: np.random.Generator) -> Challenge:
    """Some hidden images with their labels, the ball, and the model; the referee keeps a copy of all of it."""
    hidden = material.hidden
    drawn = hidden.take(rng.choice(len(hidden), settings.INPUTS, replace=False))
    public = {
        "model": defence["model"],
        "inputs": drawn.pixels,
        "labels": drawn.labels,
        "norm": np.array(settings.NORM),
        "epsilon": np.array(settings.EPSILON),
        "classes": np.array(material.classes),
    }
    # What is handed out may change on its way; what is scored must not.
    return Challenge(public, {name: values.copy() for name, values in public.items()})


def issue(material: Material, folder: Path) -> list[Path]:
    """Write the public images, float32 (n, C, H, W) in [0, 1], with their labels."""
    path = folder / "training_images.npz"
    bundles.write({"images": material.public.pixels, "labels": material.public.labels}, path)
    return [path]


def write(public: Bundle, team: int, folder: Path) -> list[Path]:
    """Write the model as it was uploaded, and an npz of inputs, labels, norm and epsilon."""
    model, inputs = folder / f"team_{team}_model.onnx", folder / INPUTS.format(team=team)
    model.write_bytes(public["model"].tobytes())
    bundles.write({name: public[name] for name in ASKED}, inputs)
    return [model, inputs]


def asked(team: int, folder: Path) -> Bundle:
    """What `write` wrote beside the model. Raises InvalidUpload."""
    spec = {"inputs": ArraySpec(), "labels": ArraySpec("iu"), "norm": ArraySpec("U", ()), "epsilon": ArraySpec("f", ())}
    return bundles.read(folder / INPUTS.format(team=team), spec)
