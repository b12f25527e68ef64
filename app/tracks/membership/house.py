"""The classifiers that the house plays, trained when they are asked for. Loads torch."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor, nn

from app.attacks.membership.base import Records
from app.bundles import Bundle
from app.defences.models.dp_sgd import DpSgd
from app.defences.models.losses import RelaxLoss
from app.language import onnx_files
from app.language import training as language
from app.language.recipes import Recipe
from app.onnx_models import writing
from app.tracks.base import Seat
from app.tracks.membership import classifier, defence_file, sentences
from app.tracks.membership.material import Material, training_set
from app.training import Loss, Stack, cross_entropy, perceptron, train
from app.training import Recipe as Descent

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

WIDTH, RATE, SMALLEST_BATCH, MOST_BATCHES = 512, 2e-3, 32, 60
"""The network's hidden layer; Adam's rate; batches hold 32 records, or a sixtieth of large training sets."""
MOST_RECORDS = 1_500_000
"""Records that one training sees, counted with every epoch: large training sets are seen less often."""


@dataclass(frozen=True)
class Training:
    """How a network is trained."""

    epochs: int
    loss: Loss = cross_entropy

    def __call__(self, stack: Stack, x: Tensor, y: Tensor, rng: np.random.Generator) -> Stack:
        """The trained network."""
        recipe = Descent(
            epochs=max(1, min(self.epochs, MOST_RECORDS // len(x))),
            batch=max(SMALLEST_BATCH, len(x) // MOST_BATCHES),
            rate=RATE,
            optimiser="adam",
        )
        return train(stack, x, y, [np.arange(len(x))], recipe, rng, self.loss)


@dataclass(frozen=True)
class PrivateTraining:
    """How a network is trained with differential privacy: a third of the records takes part in each step."""

    epochs: int = 34
    rate: float = 1.0
    noise_multiplier: float = 3.0

    def __call__(self, stack: Stack, x: Tensor, y: Tensor, rng: np.random.Generator) -> Stack:
        """The trained network."""
        epochs = max(1, min(self.epochs, MOST_RECORDS // len(x)))
        recipe = DpSgd(epochs, -(-len(x) // 3), self.rate, noise_multiplier=self.noise_multiplier)
        return recipe.train(stack, x, y, [np.arange(len(x))], rng)


TRAININGS: dict[str, Training | PrivateTraining] = {
    "undefended": Training(150),
    "early-stopping": Training(10),
    "relaxloss": Training(100, RelaxLoss(alpha=1.0)),
    "dp-sgd": PrivateTraining(),
}


EPOCHS = {"undefended": 60, "early-stopping": 6}
"""Passes of a language model over the sentences."""
LANGUAGE = Recipe(batch_size=32, embedding=64, hidden=128)


def defence(name: str, found: Material, settings: "Settings", seat: Seat, rng: np.random.Generator) -> Bundle:
    """A defence of TRAININGS, or of EPOCHS on sentences, as the game keeps it; trained on the seat's own records."""
    if found.about.is_text:
        return _language_model(EPOCHS[name], found, seat, rng)
    network, task = (
        trained(TRAININGS[name], training_set(found, seat), found.about.classes, rng),
        classifier.task(found),
    )
    data = writing.sequential(network, task.shape, task.classes, "membership").SerializeToString()
    return defence_file.bundle(data, classifier.from_bytes(np.frombuffer(data, np.uint8), settings, task).model)


def _language_model(epochs: int, found: Material, seat: Seat, rng: np.random.Generator) -> Bundle:
    """A word-level LSTM, as the game keeps it."""
    lines = sentences.encoded(training_set(found, seat).x)
    network = language.train(lines, found.about.classes, replace(LANGUAGE, epochs=epochs), rng)
    count = sum(weight.numel() for weight in network.parameters())
    data = onnx_files.write(network, TensorProto.FLOAT)
    return {"model": np.frombuffer(data, np.uint8), "parameters": np.array(count, np.int64)}


def trained(how: Training | PrivateTraining, records: Records, classes: int, rng: np.random.Generator) -> nn.Sequential:
    """A network with one hidden layer after training."""
    stack = Stack.fresh(lambda: perceptron(records.x.shape[1:], classes, (WIDTH,)), 1, rng)
    network = how(stack, torch.tensor(records.x), torch.tensor(records.y), rng).module(0)
    if not isinstance(network, nn.Sequential):
        raise TypeError("a perceptron is a sequence of layers")
    return network
