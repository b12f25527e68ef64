"""Trains the language model, in a loop without anything that could wait."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
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
    for epoch in range(1, recipe.epochs + 1):
        total = torch.zeros((), device=device)
        for batch in _batches(lines, recipe.batch_size, rng):
            inputs, targets, weights = (torch.from_numpy(array).to(device) for array in batch[:3])
            optimiser.zero_grad()
            scores = network.output(network.packed_states(inputs, batch.counts))
            loss = functional.cross_entropy(scores, targets, reduction="none") @ weights
            loss.backward()
            optimiser.step()
            total += loss.detach() * int(batch.counts[0])
        mean = float(total) / len(lines)
        _check_finite(mean, epoch)
        watch(epoch, mean, network)
    return network.eval()


class _Batch(NamedTuple):
    """Sentences of one step, packed: by falling length, all first words first, nothing but real words."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float32]
    """What each word counts in the mean over sentences of the means over their words."""
    counts: NDArray[np.int64]
    """How many sentences have a first word, a second one, and so on."""


def _batches(lines: Encoded, size: int, rng: np.random.Generator) -> Iterator[_Batch]:
    """The batches of one epoch, in a new order."""
    order = rng.permutation(len(lines))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        rows = rows[np.argsort(-lines.lengths[rows], kind="stable")]
        lengths = lines.lengths[rows]
        is_real = np.arange(lengths[0])[:, None] < lengths
        steps, sentences = np.nonzero(is_real)
        places = rows[sentences]
        weights = (1.0 / (lengths[sentences] * len(rows))).astype(np.float32)
        yield _Batch(lines.inputs[places, steps], lines.targets[places, steps], weights, is_real.sum(1))


def _check_extent(lines: Encoded, words: int, recipe: Recipe) -> None:
    scores = min(recipe.batch_size, len(lines)) * int(lines.lengths.max(initial=1)) * words
    if scores > MAX_SCORES:
        rule = f"A batch has at most {MAX_SCORES:,} scores: sentences, times words of the longest, times vocabulary."
        raise InvalidUpload([Reason(rule, f"{scores:,}", "Choose a smaller batch size.")])


def _check_finite(loss: float, epoch: int) -> None:
    if not np.isfinite(loss):
        where = f"it is {loss} in epoch {epoch}"
        raise InvalidUpload([Reason("The training loss stays finite.", where, "Choose a smaller learning rate.")])
