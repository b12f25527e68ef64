"""Trains the language model, in a loop without anything that could wait."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app.errors import InvalidUpload, Reason
from app.language import network as networks
from app.language.network import WordLSTM
from app.language.recipes import Recipe
from app.language.tokens import Encoded

MAX_SCORES = 1 << 27
"""The most scores of one batch: 512 MB, which the gradient doubles."""


Watch = Callable[[int, float, WordLSTM], None]
"""Is told after each epoch: how many are done, the mean loss of its batches in nats, and the network as it is."""


def ignore(epoch: int, loss: float, network: WordLSTM) -> None:
    """Nobody watches."""


def train(
    lines: Encoded, words: int, recipe: Recipe, rng: np.random.Generator, device: str = "cpu", watch: Watch = ignore
) -> WordLSTM:
    """A model trained on `lines`; `words` is the size of the vocabulary.

    The loss of a batch is the mean over its sentences of their mean cross-entropy, in nats. What `watch` raises ends
    the training. Raises InvalidUpload when a batch is too large or the loss is no longer finite.
    """
    _check_extent(lines, words, recipe)
    network = networks.fresh(words, recipe.embedding, recipe.hidden, rng, device)
    optimiser = torch.optim.Adam(network.parameters(), recipe.learning_rate, fused=True)
    inputs, targets = (torch.from_numpy(array).to(device) for array in (lines.inputs, lines.targets))
    for epoch in range(1, recipe.epochs + 1):
        total = torch.zeros((), device=device)
        for rows, longest, real, weights in _batches(lines.lengths, recipe.batch_size, rng, device):
            optimiser.zero_grad()
            states = network.states(inputs[rows, :longest]).flatten(0, 1).index_select(0, real)
            scores = network.output(states)
            loss = functional.cross_entropy(scores, targets[rows, :longest].flatten()[real], reduction="none") @ weights
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(rows)
        mean = float(total) / len(lines)
        _check_finite(mean, epoch)
        watch(epoch, mean, network)
    return network.eval()


def _batches(
    lengths: NDArray[np.int64], size: int, rng: np.random.Generator, device: str
) -> Iterator[tuple[Tensor, int, Tensor, Tensor]]:
    """Rows of each batch, its longest sentence, the places of real words, and what each of them counts."""
    order = rng.permutation(len(lengths))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        counts = lengths[rows]
        longest = int(counts.max())
        real = np.flatnonzero(np.arange(longest) < counts[:, None])
        weights = np.repeat(1.0 / (counts * len(rows)), counts).astype(np.float32)
        yield (
            torch.from_numpy(rows).to(device),
            longest,
            torch.from_numpy(real).to(device),
            torch.from_numpy(weights).to(device),
        )


def _check_extent(lines: Encoded, words: int, recipe: Recipe) -> None:
    scores = min(recipe.batch_size, len(lines)) * int(lines.lengths.max(initial=1)) * words
    if scores > MAX_SCORES:
        rule = f"A batch has at most {MAX_SCORES:,} scores: sentences, times words of the longest, times vocabulary."
        raise InvalidUpload([Reason(rule, f"{scores:,}", "Choose a smaller batch size.")])


def _check_finite(loss: float, epoch: int) -> None:
    if not np.isfinite(loss):
        where = f"it is {loss} in epoch {epoch}"
        raise InvalidUpload([Reason("The training loss stays finite.", where, "Choose a smaller learning rate.")])
