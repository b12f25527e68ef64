"""The federation in which a malicious client plays. Loads torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from app import federated, record_sets
from app.attacks.gradients import networks
from app.attacks.gradients.base import Unsuited
from app.attacks.gradients.dmgan import Attacker, Imitated, Imitation, Shares, imitate
from app.errors import InvalidUpload, Reason
from app.experiments.base import Watch
from app.federated import Data, FederatedTraining, Iid, average
from app.training import Stack

if TYPE_CHECKING:
    from app.experiments.imitation.experiment import Parameters


@dataclass(frozen=True)
class Played:
    """What came of it."""

    imitation: Imitation
    accuracies: tuple[float, ...]
    """Of the average of every round, on the judge's records."""
    real: np.ndarray
    """Real records of the class."""


def play(
    inputs: Mapping[str, Path], parameters: "Parameters", rng: np.random.Generator, device: str, progress: Watch
) -> Played:
    """Let the federation play. Raises InvalidUpload when the images do not suit the attack."""
    x, y, classes = _records(inputs)
    judge, own, honest = _dealt(y, parameters.tracked, rng)
    tensors = [torch.tensor(part) for part in (x[own], y[own], x[judge], y[judge])]
    shares = Shares(tensors[0], tensors[1], tensors[2], tensors[3], classes)
    settings = Imitated(
        rounds=parameters.rounds,
        tracked=parameters.tracked,
        passes=parameters.passes,
        batch=parameters.batch,
        maker_rate=parameters.maker_rate,
        rate=parameters.rate,
        images=parameters.images,
    )
    accuracies: list[float] = []
    honest_data = Data(x[honest], y[honest])
    try:
        made = networks.build(parameters.model, tuple(x.shape[1:]), classes + 1, rng, device)
        partition = Iid().partition(y[honest], parameters.clients, int(rng.integers(2**31)))

        def one_round(server: nn.Module, attacker: Attacker, number: int) -> nn.Module:
            training = FederatedTraining(
                rounds=1, epochs=parameters.epochs, batch=parameters.batch, rate=parameters.rate
            )
            history = federated.run(server, partition, honest_data, training, rng, device)
            everyone = history.rounds[0].after.joined(Stack.of([attacker(server)], device))
            mean = average(everyone, np.append(partition.sizes, len(own))).module(0)
            accuracies.append(_accuracy(mean, shares, device))
            return mean

        imitation = imitate(shares, settings, made, one_round, rng, device, progress)
    except (Unsuited, ValueError) as error:
        rule = "The images suit this attack."
        raise InvalidUpload([Reason(rule, str(error), "Choose another class, model or file.")]) from error
    return Played(imitation, tuple(accuracies), x[honest][y[honest] == parameters.tracked])


def _records(inputs: Mapping[str, Path]) -> tuple[np.ndarray, np.ndarray, int]:
    found = record_sets.read("dataset", inputs["dataset"]) if inputs else record_sets.digits()
    low, high = float(found.x.min()), float(found.x.max())
    return ((found.x - low) / max(high - low, 1e-12)).astype(np.float32), found.y, found.classes


def _dealt(y: np.ndarray, tracked: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The places of the judge's, the attacker's and the honest clients' records: a quarter, an eighth, the rest.

    The attacker gets none of the tracked class.
    """
    order = rng.permutation(len(y))
    judge, rest = np.split(order, [len(y) // 4])
    others = rest[y[rest] != tracked]
    own = others[: len(y) // 8]
    return judge, own, np.setdiff1d(rest, own)


def _accuracy(model: nn.Module, shares: Shares, device: str) -> float:
    with torch.no_grad():
        found = model.eval()(shares.judge_x.to(device)).argmax(1)
    return float((found == shares.judge_y.to(device)).float().mean())
