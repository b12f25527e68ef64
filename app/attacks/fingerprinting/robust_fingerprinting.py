"""Robust fingerprinting: how much traffic flows in each time slot, and a network that first looks across directions."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.attacks.fingerprinting import segments
from app.attacks.fingerprinting.base import Attack, Problem, part
from app.attacks.fingerprinting.features import traffic_aggregation
from app.attacks.fingerprinting.training import Schedule, ask, fit, seeded, shifted
from app.parameters import parameter
from app.traces import Traces

COVERED = 0.95
"""The window is as long as this share of the training captures lasts, if that is less than the paper's 80 seconds."""


@dataclass(frozen=True)
class RobustFingerprinting(Attack):
    """The traffic aggregation matrix (packets per direction and time slot) and a 2-D, then 1-D network.

    With the defaults, 3,300 captures of 100 cells take about 40 seconds of one core.
    """

    title: ClassVar[str] = "Robust fingerprinting"
    source: ClassVar[str] = (
        "Shen et al., 2023, USENIX Security (RF): the traffic aggregation matrix and a network of 2-D, then 1-D "
        "convolutions with global average pooling. Scaled down for a CPU: 256 slots instead of 1,800, narrower layers, "
        "logarithmic counts, a window that follows the captures' duration, and random shifts."
    )

    epochs: int = parameter(25, "Passes over the training captures, at least.", minimum=1, maximum=200)
    steps: int = parameter(
        400, "Fewest batches to learn from; more epochs when captures are few.", minimum=1, maximum=100_000
    )
    width: int = parameter(16, "Channels of the first layer.", minimum=4, maximum=64)
    slots: int = parameter(256, "Time slots per direction.", minimum=48, maximum=1800)
    seconds: float = parameter(80.0, "Longest window that the slots share.", minimum=0.1, maximum=600.0, unit="s")
    shift: int = parameter(4, "Largest random shift of a training matrix, in slots.", minimum=0, maximum=30)
    rate: float = parameter(3e-3, "Highest learning rate.", minimum=1e-5, maximum=1e-1)

    def scores(self, problem: Problem) -> NDArray[np.floating]:
        """The network's probabilities."""
        seconds = window(problem.train, self.seconds)
        with seeded(problem.rng, problem.device):
            network = SlotNetwork(self.width, problem.classes).to(problem.device)
            inputs = self._inputs(problem.train, seconds).to(problem.device)
            labels = torch.from_numpy(problem.labels).to(problem.device)
            schedule = Schedule(self.epochs, rate=self.rate, steps=self.steps)
            fit(network, inputs, labels, schedule, lambda x: shifted(x, self.shift), part(problem.progress, 0.0, 0.95))
            return ask(network, self._inputs(problem.test, seconds).to(problem.device))

    def _inputs(self, traces: Traces, seconds: float) -> Tensor:
        """(n, 2, slots): logarithmic counts, because one long download would ruin batch normalisation."""
        return torch.from_numpy(np.log1p(traffic_aggregation(traces, self.slots, seconds)))


def window(traces: Traces, longest: float) -> float:
    """Seconds that most captures last, at most `longest`; never 0."""
    last = segments.reduced(np.maximum, traces.time, traces.offset)
    return min(longest, max(1e-3, float(np.quantile(last, COVERED))))


class SlotNetwork(nn.Module):
    """Two 2-D convolutions that merge the directions, six 1-D ones, and an average over time for each class."""

    def __init__(self, width: int, classes: int) -> None:
        """Build the network; it takes any number of slots from 48."""
        super().__init__()
        self.across = nn.Sequential(
            nn.Conv2d(1, width, (3, 6), padding=(1, 3), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, (2, 6), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d((1, 3)),
            nn.Dropout(0.1),
        )
        pairs = [(width << block, width << block + 1) for block in range(3)]
        self.along = nn.Sequential(*(_block(*pair) for pair in pairs), nn.Conv1d(width << 3, classes, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, 2, slots) matrices to (n, classes) logits."""
        merged = self.across(inputs[:, None]).squeeze(2)
        logits: Tensor = self.along(merged).mean(dim=2)
        return logits


def _block(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv1d(channels, after, 3, padding=1, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool1d(2), nn.Dropout(0.1))
