"""The defences that the house plays: those of `app.defences.gradients`, made when they are asked for. Loads torch."""

import numpy as np
import torch

from app.bundles import Bundle
from app.defences.gradients import GradientDefence
from app.defences.gradients.dp_sgd import DpSgd
from app.defences.gradients.noise import GaussianNoise
from app.defences.gradients.sparsification import TopK
from app.tracks.gradient_leakage import clients
from app.tracks.gradient_leakage.clients import Place

MADE: dict[str, GradientDefence] = {
    "gaussian-noise": GaussianNoise(strength=0.5),
    "top-k": TopK(strength=0.95),
    "dp-sgd": DpSgd(strength=0.1, bound=1.0),
}


def defence(name: str, place: Place, rng: np.random.Generator) -> Bundle:
    """What the team's clients share under a defence of the house."""
    if name not in MADE:
        return clients.truth(place)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
    return clients.stacked(MADE[name].protect_all(clients.clients(place), generator))
