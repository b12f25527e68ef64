"""How a model is trained, and in which order it sees its records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.parameters import parameter

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """The optimiser and its schedule, as in `torch.optim`."""

    epochs: int = parameter(30, "Passes over the training records.", minimum=0, maximum=10_000)
    batch: int = parameter(64, "Records of one step.", minimum=1, maximum=100_000)
    rate: float = parameter(0.1, "Learning rate of the first epoch.", minimum=0.0, maximum=1e3)
    momentum: float = parameter(0.9, "Momentum of SGD.", minimum=0.0, maximum=0.9999)
    weight_decay: float = parameter(0.0, "Squared-norm penalty added to the gradient.", minimum=0.0, maximum=1e3)
    optimiser: str = parameter("sgd", "The optimiser.", choices=("sgd", "adam"))
    decay: float = parameter(1.0, "Factor on the learning rate after every epoch.", minimum=0.0, maximum=1.0)
    is_shuffled: bool = parameter(True, "A new order in every epoch.")
    is_dropping: bool = parameter(False, "Leave out an incomplete last batch, unless it is the only one.")

    def rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.rate * self.decay**epoch


def epochs_of(rows: NDArray, recipe: Recipe, seed: int) -> Iterator[list[Integers]]:
    """For every epoch the batches of one model that owns these rows: what `train` feeds a model with this seed."""
    rng = np.random.default_rng(seed)
    for _ in range(recipe.epochs):
        order = ordered(rows, recipe, rng)
        full = len(order) // recipe.batch * recipe.batch
        ends = [*range(recipe.batch, full, recipe.batch), *([full] if 0 < full < len(order) else [])]
        batches = np.split(order, ends)
        yield batches[:-1] if recipe.is_dropping and 0 < full < len(order) else batches


def ordered(rows: NDArray, recipe: Recipe, rng: np.random.Generator) -> Integers:
    """The rows in the order of the next epoch."""
    own = np.asarray(rows, np.int64)
    return rng.permutation(own) if recipe.is_shuffled else own


@dataclass(frozen=True)
class Run:
    """Steps that some neighbouring models take together, one after another: each on as many records."""

    models: slice
    rows: Integers
    """(steps, models, batch)"""


def runs(orders: Sequence[Integers], recipe: Recipe) -> Iterator[Run]:
    """The steps of one epoch of models that are sorted by falling numbers of records.

    Models with a full batch left are always the first ones, so a step works on views and never pads: what a model
    computes does not depend on its neighbours, not even in batch normalisation.
    """
    sizes = np.array([len(order) for order in orders])
    width, start = recipe.batch, 0
    full = sizes // width
    for end in np.unique(full[full > 0]):
        k = int((full >= end).sum())
        batches = np.stack([order[start * width : end * width] for order in orders[:k]])
        yield Run(slice(0, k), np.ascontiguousarray(batches.reshape(k, -1, width).swapaxes(0, 1)))
        start = end
    for size in np.unique(sizes):
        left = int(size % width)
        if left and not (recipe.is_dropping and size > width):
            k, end = int((sizes > size).sum()), int((sizes >= size).sum())
            yield Run(slice(k, end), np.stack([order[size - left :] for order in orders[k:end]])[None])
