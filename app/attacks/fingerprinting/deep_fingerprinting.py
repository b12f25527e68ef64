"""Deep fingerprinting: a convolutional network on the sequence of bursts."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.attacks.fingerprinting import segments
from app.attacks.fingerprinting.base import Attack, Problem, part
from app.attacks.fingerprinting.bursts import Bursts
from app.attacks.fingerprinting.training import Schedule, ask, fit, seeded, shifted
from app.parameters import parameter
from app.traces import Traces

BLOCKS = 4
"""Each halves the sequence and doubles the channels."""
COVERED = 0.95
"""The sequence is as long as this share of the training captures needs."""
LIMIT = 3.0
"""Inputs are clipped to this: without it one download of a thousand times the usual size ruins batch normalisation."""


@dataclass(frozen=True)
class DeepFingerprinting(Attack):
    """Bursts as a sequence with three channels (log bytes, bytes, packets), four blocks of convolutions, one layer."""

    title: ClassVar[str] = "Deep fingerprinting on bursts"
    source: ClassVar[str] = (
        "After Sirinam et al., 2018, CCS: four blocks of two convolutions, batch normalisation, pooling and dropout. "
        "A variant of the house: the sequence holds bursts instead of packet directions, the network is "
        "narrower, and random shifts, label smoothing and a one-cycle schedule make up for few captures per class."
    )

    epochs: int = parameter(16, "Passes over the training captures, at least.", minimum=1, maximum=200)
    steps: int = parameter(
        400, "Fewest batches to learn from; more epochs when captures are few.", minimum=1, maximum=100_000
    )
    width: int = parameter(16, "Channels of the first block.", minimum=4, maximum=128)
    kernel: int = parameter(5, "Width of a convolution, in bursts.", minimum=2, maximum=15)
    activation: str = parameter("relu", "What follows a normalisation.", choices=("relu", "gelu"))
    bursts: int = parameter(192, "First bursts of a capture that are looked at, at most.", minimum=32, maximum=2000)
    shift: int = parameter(6, "Largest random shift of a training sequence, in bursts.", minimum=0, maximum=30)
    rate: float = parameter(3e-3, "Highest learning rate.", minimum=1e-5, maximum=1e-1)

    def scores(self, problem: Problem) -> NDArray[np.floating]:
        """The network's probabilities."""
        sequence = Sequence.fitted(problem.train, self.bursts)
        with seeded(problem.rng, problem.device):
            network = BurstNetwork(self, sequence.columns, problem.classes).to(problem.device)
            inputs = torch.from_numpy(sequence(problem.train)).to(problem.device)
            labels = torch.from_numpy(problem.labels).to(problem.device)
            schedule = Schedule(self.epochs, rate=self.rate, steps=self.steps)
            fit(network, inputs, labels, schedule, lambda x: shifted(x, self.shift), part(problem.progress, 0.0, 0.95))
            return ask(network, torch.from_numpy(sequence(problem.test)).to(problem.device))


THOROUGH = DeepFingerprinting(epochs=30, width=32, kernel=8, activation="gelu")
"""Six times slower and about half a point better on the captures of a hundred cells."""


@dataclass(frozen=True)
class Sequence:
    """How captures become sequences: their length and the size of each channel, as learnt from training captures."""

    columns: int
    scale: list[float]

    @classmethod
    def fitted(cls, traces: Traces, longest: int) -> "Sequence":
        """Long enough for most captures; each channel's scale is reached by one burst in twenty."""
        bursts = Bursts.of(traces)
        needed = int(np.quantile(np.diff(bursts.offset), COVERED))
        columns = min(longest, max(needed, 32)) + (2**BLOCKS - 1) >> BLOCKS << BLOCKS
        return cls(columns, [max(1e-9, float(np.quantile(np.abs(c), COVERED))) for c in _channels(bursts)])

    def __call__(self, traces: Traces) -> NDArray[np.float32]:
        """(n, 3, columns): the scaled and clipped channels."""
        bursts = Bursts.of(traces)
        rows = [
            segments.padded(channel / scale, bursts.offset, self.columns)
            for channel, scale in zip(_channels(bursts), self.scale, strict=True)
        ]
        return np.clip(np.stack(rows, axis=1), -LIMIT, LIMIT)


def _channels(bursts: Bursts) -> tuple[NDArray[np.float64], ...]:
    """Log bytes, bytes and packets of each burst, all with the sign of its direction."""
    sign = np.where(bursts.size >= 0, 1.0, -1.0)
    return sign * np.log1p(np.abs(bursts.size)), bursts.size.astype(np.float64), sign * bursts.packets


class BurstNetwork(nn.Module):
    """Four blocks of two convolutions, then one linear layer that knows where in the sequence it looks."""

    def __init__(self, attack: DeepFingerprinting, columns: int, classes: int) -> None:
        """Build the network for sequences of `columns` bursts, a multiple of 16."""
        super().__init__()
        channels = [3, *(attack.width << block for block in range(BLOCKS))]
        blocks = [_block(attack, *pair) for pair in pairwise(channels)]
        head = nn.Linear(channels[-1] * (columns >> BLOCKS), classes)
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(0.3), head)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, 3, columns) sequences to (n, classes) logits."""
        logits: Tensor = self.layers(inputs)
        return logits


def _block(attack: DeepFingerprinting, before: int, after: int) -> nn.Sequential:
    activation = nn.GELU if attack.activation == "gelu" else nn.ReLU
    layers: list[nn.Module] = []
    for channels in (before, after):
        # Explicit, because Torch's own "same" padding warns of a copy when the kernel is even.
        same = nn.ConstantPad1d(((attack.kernel - 1) // 2, attack.kernel // 2), 0.0)
        convolution = nn.Conv1d(channels, after, attack.kernel, bias=False)
        layers += [same, convolution, nn.BatchNorm1d(after), activation()]
    return nn.Sequential(*layers, nn.MaxPool1d(2), nn.Dropout(0.1))
