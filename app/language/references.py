"""Many small models of random halves, whose losses show what a sentence costs a model that saw it, or did not.

Stacking LSTMs does not pay on a CPU, where one model's loop keeps a core busy already: models are trained side by side
in processes. This process is one of them, so that a core does not wait for the others to begin.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event

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
_stops: list[Event] = []
"""In a process of the pool: the event that ends its work."""


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
    found: Floats = np.zeros((len(members), len(study.lines)))
    mine: list[int] = []
    with _pool(min(processes, len(members)) - 1) as pool:
        futures = [pool.submit(_losses, study, half, seed, device) for half, seed in zip(members, seeds, strict=True)]

        def report(*_: object) -> None:
            theirs = sum(future.done() and not future.cancelled() for future in futures)
            progress((theirs + len(mine)) / len(futures))

        # The others begin with the first models, so this process begins with the last ones.
        for number in range(len(members) - 1, -1, -1):
            if futures[number].cancel():
                found[number] = _losses(study, members[number], seeds[number], device, report)
                mine.append(number)
        others = {future: number for number, future in enumerate(futures) if not future.cancelled()}
        for future in as_completed(others):
            found[others[future]] = future.result()
            report()
    return found


def _in_turn(study: Study, members: NDArray[np.bool_], seeds: list[int], device: str, progress: Progress) -> Floats:
    found: Floats = np.zeros((len(members), len(study.lines)))
    for number, seed in enumerate(seeds):

        def watch(epoch: int, loss: float, network: WordLSTM, number: int = number) -> None:
            progress((number + epoch / study.recipe.epochs) / len(members))

        found[number] = _losses(study, members[number], seed, device, watch)
    return found


def _stop_if_asked(epoch: int, loss: float, network: WordLSTM) -> None:
    if _stops and _stops[0].is_set():
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


def _begin(stop: Event) -> None:
    # The process is the pool's own: one thread for each keeps them from fighting for the cores.
    torch.set_num_threads(1)
    _stops[:] = [stop]


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that begin anew, since threads of torch do not survive a fork; they end with what goes wrong here."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(processes, context, _begin, (stop,)) as pool:
        try:
            yield pool
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
