"""A small network on scikit-learn's digits, trained once, and the inputs that the attacks are tried on."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from app.attacks.evasion.base import Box, Model


@dataclass(frozen=True)
class Task:
    """A classifier and inputs with their classes."""

    model: Model
    x: Tensor
    y: Tensor
    box: Box

    @property
    def right(self) -> Tensor:
        return self.model(self.x).argmax(1) == self.y


def trained(x, y):
    torch.manual_seed(7)
    network = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(16 * 16, 10)),
    )
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(12):
        for rows in torch.randperm(len(x)).split(64):
            noisy = (x[rows] + 0.1 * torch.randn_like(x[rows])).clamp(0.0, 1.0)
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(noisy), y[rows]).backward()
            optimiser.step()
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def task() -> Task:
    """60 test images of 8 x 8 and a network that is right on nearly all of them."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = torch.tensor(digits.images[order][:, None] / 16.0, dtype=torch.float32)
    y = torch.tensor(digits.target[order], dtype=torch.int64)
    with torch.random.fork_rng():
        return Task(trained(x[:1200], y[:1200]), x[-60:], y[-60:], Box(0.0, 1.0))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
