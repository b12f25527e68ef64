"""The white-box attack of Nasr et al.: a network that learns from known members how gradients of members look."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from app.attacks.membership.base import Progress, silent
from app.attacks.membership.white_box_evidence import Evidence
from app.metrics import auc
from app.parameters import parameter
from app.training import seeded

WIDTH = 64
"""What every component says about a record."""
CHUNK = 512
FLOOR = 1e-6
"""Losses below it are taken for it, before their logarithm."""


def _connected(width: int, hidden: int) -> nn.Sequential:
    """The component for vectors: loss, label, or what a fully connected layer gave."""
    return nn.Sequential(nn.Flatten(), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, WIDTH), nn.ReLU())


def _gradient_component(shape: Sequence[int], kernels: int, dropout: float) -> nn.Module:
    """The component for a gradient (out, in) or, of a convolution, (out, in, height, width).

    A kernel covers all that one output's weights have in common, so the same question is asked of every output.
    """
    rows, columns = shape[0], int(np.prod(shape[1:]))
    return nn.Sequential(
        nn.Flatten(2),
        nn.Unflatten(1, (1, rows)),
        nn.Dropout(dropout),
        nn.Conv2d(1, kernels, (1, columns)),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(kernels * rows, 128),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(128, WIDTH),
        nn.ReLU(),
    )


def _activation_component(shape: Sequence[int], kernels: int, dropout: float) -> nn.Module:
    """The component for what a layer gave: (width,), or maps (channels, height, width) of a convolution."""
    if len(shape) != 3:
        return _connected(int(np.prod(shape)), 100)
    # As in the original the kernel covers the whole map.
    return nn.Sequential(
        nn.Conv2d(shape[0], kernels, (shape[1], shape[2])),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(kernels, WIDTH),
        nn.ReLU(),
    )


class AttackNetwork(nn.Module):
    """A component for each gradient and activation of each observation, for the losses and the label; then four layers.

    Losses are seen as standardised logarithms: those of members may all be tiny, and differ by factors. The output is
    a logit, not the ReLU that some ports end with, which may die and then says "no member" for ever.
    """

    def __init__(self, example: Evidence, kernels: int, dropout: float) -> None:
        super().__init__()
        gradients = [each for seen in example.gradients for each in seen]
        activations = [each for seen in example.activations for each in seen]
        self.gradients = nn.ModuleList(_gradient_component(each.shape[1:], kernels, dropout) for each in gradients)
        self.activations = nn.ModuleList(
            _activation_component(each.shape[1:], kernels, dropout) for each in activations
        )
        self.losses = _connected(example.losses.shape[1], 100)
        self.labels = _connected(example.labels.shape[1], 128)
        parts = len(gradients) + len(activations) + 2
        self.encoder = nn.Sequential(
            *(nn.Linear(parts * WIDTH, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()),
            *(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)),
        )
        scales = [_scale(each) for each in (*gradients, *activations)]
        self.register_buffer("scales", torch.stack(scales) if scales else example.losses.new_empty(0))
        logs = example.losses.clamp_min(FLOOR).log()
        self.register_buffer("middle", logs.mean(0))
        self.register_buffer("spread", logs.std(0, correction=0).clamp_min(FLOOR))

    def forward(self, evidence: Evidence) -> Tensor:
        """(n,) logits of membership."""
        given = [each for seen in (*evidence.gradients, *evidence.activations) for each in seen]
        components = [*self.gradients, *self.activations]
        scales = self.get_buffer("scales")
        found = [part(each.float() / scale) for part, each, scale in zip(components, given, scales, strict=True)]
        logs = evidence.losses.clamp_min(FLOOR).log()
        losses = (logs - self.get_buffer("middle")) / self.get_buffer("spread")
        found += [self.losses(losses), self.labels(evidence.labels)]
        logits: Tensor = self.encoder(torch.cat(found, dim=1))[:, 0]
        return logits


def _scale(values: Tensor) -> Tensor:
    """The root of the mean square: gradients of a trained model are tiny, and all components should start alike."""
    return values.double().square().mean().sqrt().clamp_min(1e-12).float()


@dataclass(frozen=True)
class WhiteBox:
    """How the attack network is trained: supervised, from evidence on records whose membership is known.

    Nasr, Shokri and Houmansadr, 2019, IEEE S&P, sections on passive and federated attacks. Variant: narrower components
    (the original's have 10^8 weights for a small perceptron), binary cross-entropy, Adam, logarithms of losses, and the
    epoch with the best AUC on a part that was set aside. Evidence of several observations makes it the federated
    attack.
    """

    epochs: int = parameter(40, "Passes over the known records.", minimum=1, maximum=1000)
    batch: int = parameter(64, "Records of one step.", minimum=2, maximum=4096)
    rate: float = parameter(1e-3, "Learning rate (Adam).", minimum=1e-6, maximum=1.0)
    kernels: int = parameter(16, "Kernels of a component.", minimum=1, maximum=256)
    dropout: float = parameter(0.2, "Share of values left out in training.", minimum=0.0, maximum=0.9)
    held_out: float = parameter(0.2, "Share of the known records that choose the epoch.", minimum=0.05, maximum=0.5)

    def fit(
        self, evidence: Evidence, is_member: NDArray, rng: np.random.Generator, progress: Progress = silent
    ) -> "FittedWhiteBox":
        """The attack network for evidence of this kind; `is_member` (n,) says which of the records were trained on.

        Raises ValueError unless there are at least two records of each kind.
        """
        sides = [rng.permutation(np.flatnonzero(np.asarray(is_member, bool) == side)) for side in (True, False)]
        if min(map(len, sides)) < 2:
            raise ValueError("at least two members and two others must be known")
        kept = [max(1, round(self.held_out * len(side))) for side in sides]
        held = np.concatenate([side[:count] for side, count in zip(sides, kept, strict=True)])
        known = np.concatenate([side[count:] for side, count in zip(sides, kept, strict=True)])
        device = evidence.labels.device
        truth = torch.from_numpy(np.asarray(is_member, np.float32)).to(device)
        with seeded(int(rng.integers(2**63)), device):
            network = AttackNetwork(evidence, self.kernels, self.dropout).to(device)
            self._learn(network, evidence, truth, (known, held), rng, progress)
        return FittedWhiteBox(network.eval().requires_grad_(False))

    def _learn(
        self,
        network: AttackNetwork,
        evidence: Evidence,
        truth: Tensor,
        parts: tuple[NDArray[np.int64], NDArray[np.int64]],
        rng: np.random.Generator,
        progress: Progress,
    ) -> None:
        known, held = parts
        moving = torch.optim.Adam(network.parameters(), self.rate)
        watched, is_member = evidence.take(torch.from_numpy(held).to(truth.device)), truth.cpu().numpy()[held] > 0.5
        best, weights = -1.0, {name: tensor.clone() for name, tensor in network.state_dict().items()}
        for epoch in range(self.epochs):
            network.train()
            for rows in torch.from_numpy(rng.permutation(known)).to(truth.device).split(self.batch):
                loss = functional.binary_cross_entropy_with_logits(network(evidence.take(rows)), truth[rows])
                moving.zero_grad()
                loss.backward()
                moving.step()
            reached = auc(FittedWhiteBox(network.eval()).scores(watched), is_member)
            if reached > best:
                best, weights = reached, {name: tensor.clone() for name, tensor in network.state_dict().items()}
            progress((epoch + 1) / self.epochs)
        network.load_state_dict(weights)


@dataclass(frozen=True)
class FittedWhiteBox:
    """A trained attack network, in evaluation mode: the same evidence gets the same score."""

    network: AttackNetwork

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """(n,) log-odds of membership."""
        rows = torch.arange(len(evidence), device=evidence.labels.device).split(CHUNK)
        with torch.no_grad():
            found = torch.cat([self.network(evidence.take(part)) for part in rows])
        return torch.nan_to_num(found.double()).cpu().numpy()
