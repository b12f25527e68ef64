"""Training M models at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap

from app.training import memory
from app.training.losses import Loss, cross_entropy
from app.training.multilayer import Multilayer
from app.training.optimisers import Optimiser, optimiser
from app.training.perceptrons import Perceptrons, table
from app.training.recipe import Integers, Recipe, Run, ordered, runs
from app.training.stack import Stack, seeded

Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""
CACHE = 8 << 20
"""Bytes of weights, momentum and activations of the perceptrons that a CPU trains together. They may be a few times
what its core's own cache holds: fetching them from the shared one costs less than as many times more steps."""
TOGETHER = 16
"""The most models, other than perceptrons, that a CPU trains together."""


def silent(share: float) -> None:
    """Progress that nobody watches."""


@contextmanager
def _flushing() -> Iterator[None]:
    """Inside, this thread takes numbers below the normal ones, 1e-38, for 0, if its processor can; then as before.

    The momentum of a weight that gets no more gradients, as of a rare column or a dead unit, halves with every few
    steps until it is such a number and stays one, and a processor takes a hundred times as long for each.
    """
    is_flushing = bool(torch.tensor(1e-40) == 0.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(is_flushing)


def train(  # noqa: PLR0913 (the models, their records, and how, from which chance and watched by whom.)
    stack: Stack,
    x: Tensor,
    y: Tensor,
    rows: Sequence[NDArray],
    recipe: Recipe,
    rng: np.random.Generator | Sequence[int],
    loss: Loss = cross_entropy,
    *,
    progress: Progress = silent,
    block: int = 0,
) -> Stack:
    """The stack after every model was trained on its own rows of `x` (n, ...) and `y` (n, ...), as it would be alone.

    `x` and `y` lie on the stack's device. `rng` draws one seed per model, or is these seeds: model i sees the batches
    of `epochs_of(rows[i], recipe, seed)`. `block` models are trained together; 0 chooses. The stack given is left as
    it was. Raises ValueError if a model has no rows or their number is not the number of models.
    """
    if len(rows) != len(stack) or not all(len(own) for own in rows):
        raise ValueError(f"each of the {len(stack)} models needs rows to be trained on, not {[len(r) for r in rows]}")
    seeds = rng.integers(2**63, size=len(stack)) if isinstance(rng, np.random.Generator) else np.asarray(rng)
    # Neighbours of equal size share their steps; see `runs`.
    order = np.argsort([-len(own) for own in rows], kind="stable")
    trained = stack.copied()
    parts = list(memory.slices(len(stack), block or _block(stack, x, recipe)))
    shape = Multilayer.of(stack.template)
    records = x if shape is None else table(x)
    for done, part in enumerate(parts):
        models = order[part]
        own = _Block(stack.take(models), [rows[model] for model in models], [int(seeds[model]) for model in models])
        with _flushing():
            if shape is None:
                own.train(records, y, recipe, loss, _part(progress, done, len(parts)))
            else:
                own.train_perceptrons(shape, records, y, recipe, loss, _part(progress, done, len(parts)))
        for name, tensor in own.stack.tensors.items():
            trained.tensors[name][torch.as_tensor(models, device=stack.device)] = tensor
    progress(1.0)
    return trained


def _part(progress: Progress, done: int, parts: int) -> Progress:
    """The progress of one of the parts of the work."""
    return lambda share: progress((done + share) / parts)


def _block(stack: Stack, x: Tensor, recipe: Recipe) -> int:
    """Models that are trained together: as many as fit into cache or memory."""
    inside = recipe.batch * memory.activations(stack.template, stack.weights(0), x)
    # Weight, gradient and two moments.
    fitting = memory.rows_at_once(inside + 4 * memory.FLOAT * stack.size, stack.device)
    if stack.device.type != "cpu":
        return fitting
    if Multilayer.of(stack.template) is None:
        return min(fitting, TOGETHER)
    return max(1, min(fitting, CACHE // (2 * memory.FLOAT * stack.size + inside // memory.OVERHEAD)))


class _Block:
    """Models that are trained together, sorted by falling numbers of rows."""

    def __init__(self, stack: Stack, rows: list[NDArray], seeds: list[int]) -> None:
        self.stack, self.rows = stack, rows
        self.rngs = [np.random.default_rng(seed) for seed in seeds]
        # Dropout draws from torch's own generators, so these get a seed too.
        self.seed = seeds[0] % 2**63

    def train(self, x: Tensor, y: Tensor, recipe: Recipe, loss: Loss, progress: Progress) -> None:
        """All epochs; the stack's tensors are changed in place."""
        moving = optimiser(self.stack.parameters, recipe)
        with seeded(self.seed, self.stack.device):
            for epoch in self._epochs(recipe, progress):
                moving.rate = recipe.rate_at(epoch)
                for run in self._runs(recipe):
                    for rows in run.rows:
                        batch = _gathered(x, rows), _gathered(y, rows)
                        _step(self.stack, moving, run.models, batch, loss, epoch)

    def train_perceptrons(
        self, shape: Multilayer, rows: Tensor, y: Tensor, recipe: Recipe, loss: Loss, progress: Progress
    ) -> None:
        """The same for perceptrons, whose records are rows of a `perceptrons.table`."""
        own = Perceptrons(shape, self.stack, recipe)
        with seeded(self.seed, self.stack.device), torch.no_grad():
            for epoch in self._epochs(recipe, progress):
                own.optimiser.rate = recipe.rate_at(epoch)
                for run in self._runs(recipe):
                    own.run(run, rows, y, loss, epoch)
        self.stack.parameters.update(own.parameters)

    def _epochs(self, recipe: Recipe, progress: Progress) -> Iterator[int]:
        for epoch in range(recipe.epochs):
            yield epoch
            progress((epoch + 1) / recipe.epochs)

    def _runs(self, recipe: Recipe) -> Iterator[Run]:
        """The steps of the next epoch."""
        return runs([ordered(own, recipe, rng) for own, rng in zip(self.rows, self.rngs, strict=True)], recipe)


def _gathered(values: Tensor, rows: Integers) -> Tensor:
    """(models, batch, ...): the values at rows (models, batch)."""
    places = torch.from_numpy(rows.reshape(-1)).to(values.device, non_blocking=True)
    return values.index_select(0, places).reshape(*rows.shape, *values.shape[1:])


def _step(stack: Stack, moving: Optimiser, models: slice, batch: tuple[Tensor, Tensor], loss: Loss, epoch: int) -> None:
    """One step of any network: gradients by `vmap`, all models at once."""
    some = stack.take(models)
    leaves = {name: tensor.detach().requires_grad_(True) for name, tensor in some.parameters.items()}
    with torch.enable_grad():
        outputs = Stack(stack.template, leaves, some.buffers)(batch[0], is_own=True, is_training=True)
        losses = vmap(lambda one, own: loss(one, own, epoch))(outputs, batch[1])
        # The models do not meet, so the gradients of the sum are those of the terms.
        gradients = torch.autograd.grad(losses.sum(), list(leaves.values()))
    with torch.no_grad():
        moving.step(dict(zip(leaves, gradients, strict=True)), models)
