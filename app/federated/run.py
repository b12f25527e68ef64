"""The loop of a federation; all clients of a round are trained together."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.federated.averaging import average
from app.federated.history import History, Round
from app.federated.partition import Partition
from app.federated.training import FederatedTraining
from app.training import Loss, Stack, cross_entropy, logits, train

Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""
Integers = NDArray[np.int64]
KEPT_BYTES = 4 << 30
"""The most that all rounds may keep unless the caller chooses what is kept."""


def silent(share: float) -> None:
    """Progress that nobody watches."""


def honest(number: int, server: Stack) -> Stack:
    """What a server sends that attacks nobody: the average of the round before."""
    return server


@dataclass(frozen=True)
class Data:
    """Labelled records, and those on which the global model is tested after every round."""

    x: NDArray[np.float32]
    y: Integers
    test_x: NDArray[np.float32] | None = None
    test_y: Integers | None = None


class Local:
    """What clients do in a round: the usual training, unless a protection takes its place."""

    def __init__(self, loss: Loss = cross_entropy) -> None:
        """`loss` is what the clients make small."""
        self.loss = loss

    def __call__(self, stack: Stack, x: Tensor, y: Tensor, rows: list[Integers], turn: "Turn") -> Stack:
        """The clients' models after their local training, from the models that the server sent."""
        recipe = turn.settings.recipe(turn.number, max(map(len, rows)))
        return train(stack, x, y, rows, recipe, turn.seeds.tolist(), self.loss)


@dataclass(frozen=True)
class Turn:
    """What clients are told about a round."""

    settings: FederatedTraining
    number: int
    seeds: Integers


def run(  # noqa: PLR0913 (the federation, its surroundings, and what a caller may replace.)
    model: nn.Module,
    partition: Partition,
    data: Data,
    training: FederatedTraining,
    rng: np.random.Generator,
    device: str = "cpu",
    progress: Progress = silent,
    *,
    local: Local | None = None,
    keep: Callable[[Round], Round] | None = None,
    send: Callable[[int, Stack], Stack] = honest,
) -> History:
    """Train a federation from the weights of `model`, which is left as it is.

    `keep` chooses what stays of a round (`Round.only`); without it everything stays, and ValueError is raised when that
    would be more than 4 GiB. `send` gives what the server really sends in a round, counted from 0, in place of the
    average, as an active attacker in its place would. The same generator gives the same history on the same device.
    """
    clients = _participants(partition, training)
    server = Stack.of([model], device)
    _check(server, partition, training, clients, is_kept=keep is None)
    x, y = torch.tensor(data.x, device=device), torch.tensor(data.y, device=device)
    rounds = []
    for number in range(training.rounds):
        chosen = np.sort(rng.choice(len(partition.rows), clients, replace=False))
        turn = Turn(training, number, rng.integers(2**63, size=clients))
        rows = [partition.rows[client] for client in chosen]
        server = send(number, server)
        after = (local or Local())(server.repeated(clients), x, y, rows, turn)
        sizes = partition.sizes[chosen]
        found = Round(number, server, after, chosen, sizes, turn.seeds, training.rate_at(number))
        server = average(after, sizes)
        found = _measured(found, server, data, (x, y), rows)
        rounds.append(found if keep is None else keep(found))
        progress((number + 1) / training.rounds)
    return History(training, tuple(rounds), server)


def _participants(partition: Partition, training: FederatedTraining) -> int:
    return max(1, round(training.participation * len(partition.rows)))


def _check(server: Stack, partition: Partition, training: FederatedTraining, clients: int, is_kept: bool) -> None:
    needed = 4 * server.size * clients * training.rounds
    if is_kept and needed > KEPT_BYTES:
        raise ValueError(
            f"{training.rounds} rounds of {clients} clients with {server.size:,} weights would keep "
            f"{needed / 2**30:.1f} GiB: say with `keep` what is wanted"
        )


def _measured(found: Round, server: Stack, data: Data, records: tuple[Tensor, Tensor], rows: list[Integers]) -> Round:
    """The round with the accuracies of its models."""
    x, y = records
    own = [torch.as_tensor(each, device=x.device) for each in rows]
    local = tuple(_accuracy(found.after.take(slice(k, k + 1)), x[each], y[each]) for k, each in enumerate(own))
    if data.test_x is None or data.test_y is None:
        return replace(found, local_accuracies=local)
    test = torch.tensor(data.test_x, device=x.device), torch.tensor(data.test_y, device=x.device)
    return replace(found, local_accuracies=local, accuracy=_accuracy(server, *test))


def _accuracy(stack: Stack, x: Tensor, y: Tensor) -> float:
    return float((logits(stack, x)[0].argmax(-1) == y).float().mean())
