"""Trains the language model, in a loop without anything that could wait."""

from collections.abc import Callable

import numpy as np
import torch

from app import training
from app.errors import InvalidUpload, Reason
from app.language import network as networks
from app.language.batches import batches, beginnings
from app.language.network import WordLSTM
from app.language.recipes import Recipe
from app.language.recurrence import Order
from app.language.tokens import Encoded
from app.training.optimisers import Adam

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
    # The layer of torch, which is the fast one elsewhere, reads every sentence on its own.
    begun = beginnings(lines) if device == "cpu" else None
    weights = list(network.parameters())
    # The one of torch would load its compiler: a second of each process that trains reference models.
    adam = Adam(
        {str(place): weight.detach()[None] for place, weight in enumerate(weights)},
        training.Recipe(rate=recipe.learning_rate, optimiser="adam"),
    )
    for epoch in range(1, recipe.epochs + 1):
        total = torch.zeros((), device=device)
        for batch in batches(lines, recipe.batch_size, rng, begun):
            order = Order(batch.counts, torch.from_numpy(batch.before).to(device), batch.shared)
            inputs, after, targets, shares = (
                torch.from_numpy(array).to(device)
                for array in (batch.inputs, batch.after, batch.targets, batch.weights)
            )
            scores = network.output(network.packed_states(inputs, order))
            loss = -(scores.log_softmax(1)[after, targets] @ shares)
            slopes = torch.autograd.grad(loss, weights)
            adam.step({str(place): slope[None] for place, slope in enumerate(slopes)})
            total += loss.detach() * batch.sentences
        mean = float(total) / len(lines)
        _check_finite(mean, epoch)
        watch(epoch, mean, network)
    return network.eval()


def _check_extent(lines: Encoded, words: int, recipe: Recipe) -> None:
    scores = min(recipe.batch_size, len(lines)) * int(lines.lengths.max(initial=1)) * words
    if scores > MAX_SCORES:
        rule = f"A batch has at most {MAX_SCORES:,} scores: sentences, times words of the longest, times vocabulary."
        raise InvalidUpload([Reason(rule, f"{scores:,}", "Choose a smaller batch size.")])


def _check_finite(loss: float, epoch: int) -> None:
    if not np.isfinite(loss):
        where = f"it is {loss} in epoch {epoch}"
        raise InvalidUpload([Reason("The training loss stays finite.", where, "Choose a smaller learning rate.")])
