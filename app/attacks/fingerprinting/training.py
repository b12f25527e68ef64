"""Training and asking a small network: the part that the deep attacks share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.attacks.fingerprinting.base import Progress

SMALLEST = 8
"""A batch has at least this many captures if there are as many: batch normalisation needs a spread."""
BLOCK = 256
"""Captures that are asked for at once."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns."""

    epochs: int
    batch: int = 64
    rate: float = 3e-3
    decay: float = 1e-2
    smoothing: float = 0.1
    steps: int = 400
    """Steps are never fewer: on a small training set the epochs are repeated."""

    def rounds(self, captures: int) -> tuple[int, int]:
        """Epochs, and batches per epoch, for a training set."""
        batches = max(1, captures // max(SMALLEST, min(self.batch, captures // 8)))
        return max(self.epochs, -(-self.steps // batches)), batches


@contextmanager
def seeded(rng: np.random.Generator, device: str) -> Iterator[None]:
    """Torch's global generators start from `rng` inside, and are as before afterwards."""
    cards = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(int(rng.integers(2**63)))
        yield


def fit(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    schedule: Schedule,
    augmented: Callable[[Tensor], Tensor],
    progress: Progress,
) -> None:
    """Train the network with AdamW under a one-cycle schedule (Smith & Topin, 2018), with smoothed labels.

    `inputs` and `labels` lie on the network's device; every batch of inputs passes through `augmented`.
    """
    epochs, batches = schedule.rounds(len(inputs))
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=schedule.decay)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.rate, total_steps=epochs * batches)
    loss = nn.CrossEntropyLoss(label_smoothing=schedule.smoothing)
    network.train()
    for epoch in range(epochs):
        # Batches of almost equal size: a last batch of one capture would wreck the batch statistics.
        for chosen in torch.tensor_split(torch.randperm(len(inputs)), batches):
            chosen = chosen.to(inputs.device)
            optimiser.zero_grad()
            loss(network(augmented(inputs[chosen])), labels[chosen]).backward()
            optimiser.step()
            pace.step()
        progress((epoch + 1) / epochs)


@torch.inference_mode()
def ask(network: nn.Module, inputs: Tensor) -> NDArray[np.float64]:
    """(n, classes): the network's probabilities."""
    network.eval()
    answers = [network(block).softmax(dim=1).cpu() for block in inputs.split(BLOCK)]
    return np.asarray(torch.cat(answers).numpy().astype(np.float64))


def shifted(inputs: Tensor, reach: int) -> Tensor:
    """The sequences (n, channels, length), each moved by up to `reach` places to either side; zeros move in."""
    length = inputs.shape[2]
    move = torch.randint(-reach, reach + 1, (len(inputs), 1), device="cpu").to(inputs.device)
    place = torch.arange(length, device=inputs.device) - move
    inside = (place >= 0) & (place < length)
    index = place.clamp(0, length - 1)[:, None].expand(-1, inputs.shape[1], -1)
    return inputs.gather(2, index) * inside[:, None]
