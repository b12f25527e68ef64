"""Runs an evasion attack on a challenge. Loads torch."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from app.attacks.evasion.base import Box, FixedBudget, MinimumDistance, Model, Progress
from app.attacks.evasion.norms import Norm
from app.bundles import Bundle
from app.tracks.robustness import classifier

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

BOX = Box(0.0, 1.0)


def moved(
    attack: FixedBudget | MinimumDistance,
    public: Bundle,
    settings: "Settings",
    rng: np.random.Generator,
    device: str,
    progress: Progress,
) -> Bundle:
    """The inputs of the challenge, moved by the attack; always inside the ball and the box."""
    model = classifier.from_bytes(public["model"], settings, classifier.task(public)).on(device).logits
    x, y = torch.tensor(public["inputs"], device=device), torch.tensor(public["labels"], device=device)
    norm, epsilon = Norm(str(public["norm"])), float(public["epsilon"])
    if isinstance(attack, FixedBudget):
        found = attack.perturb(model, x, y, epsilon, norm, BOX, rng, progress)
    else:
        found = _nearest(attack, model, (x, y), norm, rng, progress)
    inside = BOX.clip(x + norm.project(found - x, epsilon))
    return {"inputs": inside.cpu().numpy()}


def _nearest(
    attack: MinimumDistance,
    model: Model,
    inputs: tuple[Tensor, Tensor],
    norm: Norm,
    rng: np.random.Generator,
    progress: Progress,
) -> Tensor:
    """The nearest errors; in the attack's own norm if it does not know the round's.

    What is too far is put onto the ball afterwards: the part of the way that is allowed often suffices.
    """
    known = norm if norm in attack.norms else attack.norms[0]
    return attack.minimise(model, *inputs, known, BOX, rng, progress)
