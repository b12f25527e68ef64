"""What a trained model thinks of sentences, word by word."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.language.network import WordLSTM
from app.language.tokens import SPECIAL, Encoded

Floats = NDArray[np.float64]
Model = Callable[[Tensor], Tensor]
"""Token ids (N, T) to scores (N, T, words): a network of ours, or one that was read from an ONNX file."""
SCORES, ROWS = 1 << 24, 1024
"""Scores held at a time, 64 MB of float32, and sentences."""


@dataclass(frozen=True)
class Statistics:
    """Of n sentences of at most T targets; 0 after the end of a sentence."""

    log_probabilities: Floats
    """(n, T): of the word that comes, in nats."""
    means: Floats
    """(n, T): the expected log-probability of a word drawn from the model."""
    deviations: Floats
    """(n, T): its standard deviation."""
    lengths: NDArray[np.int64]
    """(n,)"""

    @property
    def losses(self) -> Floats:
        """(n,): the mean cross-entropy of each sentence, in nats."""
        return mean_losses(self.log_probabilities, self.lengths)


def mean_losses(log_probabilities: Floats, lengths: NDArray[np.int64]) -> Floats:
    """(n,): minus the mean log-probability over each sentence's own words."""
    losses: Floats = -log_probabilities.sum(1) / lengths
    return losses


def _parts(lines: Encoded, words: int, rows: int = ROWS) -> Iterator[slice]:
    size = min(rows, max(1, SCORES // (int(lines.inputs.shape[1]) * words)))
    for start in range(0, len(lines), size):
        yield slice(start, start + size)


def statistics(model: Model, lines: Encoded, words: int, device: str = "cpu", rows: int = ROWS) -> Statistics:
    """The statistics of every word of every sentence, at most `rows` sentences at a time.

    `words` is the size of the vocabulary that the model's scores (N, T, words) are about.
    """
    shape = lines.targets.shape
    found = np.zeros((3, *shape))
    for part in _parts(lines, words, rows):
        with torch.no_grad():
            logs = model(torch.from_numpy(lines.inputs[part]).to(device)).log_softmax(-1)
            targets = torch.from_numpy(lines.targets[part]).to(device)
            true = logs.gather(2, targets[:, :, None])[:, :, 0]
            shares = logs.exp()
            mean = (shares * logs).sum(-1)
            variance = (shares * (logs - mean[:, :, None]).square()).sum(-1)
            found[:, part] = torch.stack([true, mean, variance.sqrt()]).double().cpu().numpy()
    found *= np.arange(shape[1]) < lines.lengths[:, None]
    return Statistics(found[0], found[1], found[2], lines.lengths)


def losses(network: WordLSTM, lines: Encoded, device: str = "cpu") -> Floats:
    """(n,): the mean cross-entropy of each sentence, in nats."""
    found: Floats = np.zeros(lines.targets.shape)
    for rows in _parts(lines, network.output.out_features):
        with torch.no_grad():
            logs = network(torch.from_numpy(lines.inputs[rows]).to(device)).log_softmax(-1)
            targets = torch.from_numpy(lines.targets[rows]).to(device)
            found[rows] = logs.gather(2, targets[:, :, None])[:, :, 0].double().cpu().numpy()
    found *= np.arange(lines.targets.shape[1]) < lines.lengths[:, None]
    return mean_losses(found, lines.lengths)


def neighbours(
    network: WordLSTM, lines: Encoded, count: int, rng: np.random.Generator, device: str = "cpu"
) -> list[Encoded]:
    """`count` copies of the sentences, in each of which one word of every sentence is another one.

    The place is drawn evenly from the sentence's words, the word from what the model expects there, the true one and
    the special ones excluded. A sentence without words stays as it is.
    """
    return [_disturbed(network, lines, rng, device) for _ in range(count)]


def _disturbed(network: WordLSTM, lines: Encoded, rng: np.random.Generator, device: str) -> Encoded:
    inputs, targets = lines.inputs.copy(), lines.targets.copy()
    places = (rng.random(len(lines)) * (lines.lengths - 1)).astype(np.int64)
    for rows in _parts(lines, network.output.out_features):
        numbers = np.arange(len(lines))[rows]
        chosen = places[rows]
        with torch.no_grad():
            states = network.states(torch.from_numpy(lines.inputs[rows]).to(device))
            own = torch.arange(len(numbers), device=device)
            scores = network.output(states[own, torch.from_numpy(chosen).to(device)]).double().cpu().numpy()
        scores += rng.gumbel(size=scores.shape)
        scores[:, : len(SPECIAL)] = -np.inf
        scores[np.arange(len(numbers)), targets[numbers, chosen]] = -np.inf
        can_change = (lines.lengths[numbers] > 1) & np.isfinite(scores.max(1))
        changed, where, drawn = numbers[can_change], chosen[can_change], scores.argmax(1)[can_change]
        targets[changed, where] = drawn
        inputs[changed, where + 1] = drawn
    return Encoded(inputs, targets, lines.lengths)
