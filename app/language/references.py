"""Many small models of random halves, whose losses show what a sentence costs a model that saw it, or did not.

Stacking LSTMs does not pay on a CPU, where one model's loop keeps a core busy already: models are trained side by side
in processes. This process is one of them, so that a core does not wait for the others to begin.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from app.language import scoring
from app.language.network import WordLSTM
from app.language.recipes import Recipe
from app.language.tokens import Encoded
from app.language.training import train

Floats = NDArray[np.float64]
Progress = Callable[[float], None]
PATIENCE = 0.5
"""Seconds between two reports while other processes end their work."""


class _Shared(NamedTuple):
    """What the processes tell each other.

    Each takes one model at a time, so that nobody waits while another has several left, as the queue of an executor
    would have it, which hands out work ahead of time.
    """

    stop: Event
    """Set when all shall end."""
    taken: "Synchronized[int]"
    """How many models somebody has begun with."""
    done: "Synchronized[int]"
    """How many are finished."""

    def next(self) -> int:
        """The number of a model that nobody else will train."""
        with self.taken.get_lock():
            self.taken.value += 1
            return self.taken.value - 1


_own: list[_Shared] = []
"""In a process of the pool: what it shares with the others."""


class StoppedError(Exception):
    """Somebody else gave up, so this model is of no use any more."""


@dataclass(frozen=True)
class Study:
    """What all reference models share."""

    lines: Encoded
    """The n sentences whose losses are wanted."""
    words: int
    """The size of the vocabulary."""
    recipe: Recipe


def halves(count: int, models: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(models, count): random halves in pairs, a half and what it leaves, so that each sentence is in every other one.

    With an odd number of models the last one has no counterpart.
    """
    pairs = [rng.permutation(count) < count // 2 for _ in range(-(-models // 2))]
    return np.array([half for pair in pairs for half in (pair, ~pair)], bool).reshape(-1, count)[:models]


def reference_losses(
    study: Study,
    members: NDArray[np.bool_],
    rng: np.random.Generator,
    device: str = "cpu",
    processes: int = 1,
    progress: Progress = lambda share: None,
) -> Floats:
    """(R, n): the loss of every sentence under a model trained on each row of `members` (R, n).

    The result does not depend on the number of processes. What `progress` raises ends the work within one epoch.
    """
    seeds = [int(seed) for seed in rng.integers(1 << 62, size=len(members))]
    if device != "cpu" or processes < 2 or len(members) < 2:
        return _in_turn(study, members, seeds, device, progress)
    others = min(processes, len(members)) - 1
    with _pool(others) as (pool, shared):
        futures = [pool.submit(_beside, study, members, seeds) for _ in range(others)]

        def report(*_: object) -> None:
            for future in futures:
                if future.done():
                    # Raises what went wrong there.
                    future.result()
            progress(shared.done.value / len(members))

        found = _taken(study, members, seeds, shared, report)
        while wait(futures, PATIENCE).not_done:
            report()
        for future in futures:
            found += future.result()
    progress(1.0)
    return found


def _beside(study: Study, members: NDArray[np.bool_], seeds: list[int]) -> Floats:
    """What a process of the pool does."""
    return _taken(study, members, seeds, _own[0], _stop_if_asked)


def _taken(
    study: Study,
    members: NDArray[np.bool_],
    seeds: list[int],
    shared: _Shared,
    watch: Callable[[int, float, WordLSTM], None],
) -> Floats:
    """(R, n): the losses of the models that this process takes, one after another while there are any; 0 elsewhere."""
    found: Floats = np.zeros((len(members), len(study.lines)))
    while (number := shared.next()) < len(members):
        found[number] = _losses(study, members[number], seeds[number], "cpu", watch)
        with shared.done.get_lock():
            shared.done.value += 1
    return found


def _in_turn(study: Study, members: NDArray[np.bool_], seeds: list[int], device: str, progress: Progress) -> Floats:
    found: Floats = np.zeros((len(members), len(study.lines)))
    for number, seed in enumerate(seeds):

        def watch(epoch: int, loss: float, network: WordLSTM, number: int = number) -> None:
            progress((number + epoch / study.recipe.epochs) / len(members))

        found[number] = _losses(study, members[number], seed, device, watch)
    return found


def _stop_if_asked(epoch: int, loss: float, network: WordLSTM) -> None:
    if _own and _own[0].stop.is_set():
        raise StoppedError


def _losses(
    study: Study,
    members: NDArray[np.bool_],
    seed: int,
    device: str,
    watch: Callable[[int, float, WordLSTM], None] = _stop_if_asked,
) -> Floats:
    lines = study.lines.take(np.flatnonzero(members))
    network = train(lines, study.words, study.recipe, np.random.default_rng(seed), device, watch)
    return scoring.losses(network, study.lines, device)


def _begin(shared: _Shared) -> None:
    # The process is the pool's own: one thread for each keeps them from fighting for the cores.
    torch.set_num_threads(1)
    _own[:] = [shared]


@contextmanager
def _pool(processes: int) -> Iterator[tuple[ProcessPoolExecutor, _Shared]]:
    """Processes that begin anew, since threads of torch do not survive a fork; they end with what goes wrong here."""
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context.Event(), context.Value("q", 0), context.Value("q", 0))
    with ProcessPoolExecutor(processes, context, _begin, (shared,)) as pool:
        try:
            yield pool, shared
        finally:
            shared.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
