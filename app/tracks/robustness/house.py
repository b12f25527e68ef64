"""The classifiers that the house plays, trained when they are asked for. Loads torch."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from app.attacks.evasion.norms import Norm
from app.bundles import Bundle
from app.onnx_models import writing
from app.onnx_models.classifiers import Task
from app.tracks.robustness import classifier, defence_file
from app.tracks.robustness.images import Material

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

RADII = {"undefended": 0.0, "adversarial-training": 0.5, "strong-adversarial-training": 1.25}
"""Radius of the training attacks of each defence, as a share of the round's epsilon."""
EPOCHS, STEPS, BATCH, RATE = 20, 4, 64, 2e-3
SMALLEST = 7


def defence(name: str, material: Material, settings: "Settings", rng: np.random.Generator) -> Bundle:
    """A defence of RADII as the game keeps it."""
    wanted = Task(material.shape, material.classes)
    data = trained(name, material, settings, rng)
    return defence_file.bundle(data, classifier.from_bytes(np.frombuffer(data, np.uint8), settings, wanted))


def trained(name: str, material: Material, settings: "Settings", rng: np.random.Generator) -> bytes:
    """The ONNX file of a defence, trained on the public images within seconds.

    Adversarial training as in Madry et al., 2018, ICLR: every batch is moved by a few steps of projected gradient
    descent before it is learnt; the radius grows during the first half, without which large ones are not learnt at all.
    """
    x, y = torch.tensor(material.public.pixels), torch.tensor(material.public.labels)
    norm, radius = Norm(settings.NORM), RADII[name] * settings.EPSILON
    generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
    network = _network(int(rng.integers(2**63 - 1)), material)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    for epoch in range(EPOCHS):
        reach = radius * min(1.0, 2.0 * (epoch + 1) / EPOCHS)
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            batch = _attacked(network, x[rows], y[rows], norm, reach, generator) if reach else x[rows]
            optimiser.zero_grad()
            functional.cross_entropy(network(batch), y[rows]).backward()
            optimiser.step()
    return writing.sequential(network, material.shape, material.classes, "robustness", "images").SerializeToString()


def _network(seed: int, material: Material) -> nn.Sequential:
    """Convolutions that halve the image until a side has at most SMALLEST pixels, and two dense layers."""
    channels, *sides = material.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU()]
        width = 16
        while max(sides) > SMALLEST or width == 16:
            layers += [nn.Conv2d(width, 32, 3, stride=2, padding=1), nn.ReLU()]
            width, sides = 32, [-(-side // 2) for side in sides]
        size = width * sides[0] * sides[1]
        layers += [nn.Flatten(), nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, material.classes)]
        return nn.Sequential(*layers)


def _attacked(
    network: nn.Module, x: Tensor, y: Tensor, norm: Norm, radius: float, generator: torch.Generator
) -> Tensor:
    """The batch after STEPS steps of projected gradient descent from a random start."""
    moved = (x + norm.random(x, radius, generator)).clamp(0.0, 1.0)
    for _ in range(STEPS):
        leaf = moved.requires_grad_(True)
        (slope,) = torch.autograd.grad(functional.cross_entropy(network(leaf), y), leaf)
        step = moved.detach() + 2.5 * radius / STEPS * norm.step(slope)
        moved = (x + norm.project(step - x, radius)).clamp(0.0, 1.0)
    return moved
