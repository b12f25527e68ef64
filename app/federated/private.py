"""Clients that train with DP-SGD: what they send is private by itself, whoever the server is."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from app.defences.models.dp_sgd import DpSgd
from app.federated.run import Local, Turn
from app.training import Stack


class PrivateLocal(Local):
    """Local training with clipped gradients, noise and Poisson batches; epochs, batch and rate are the federation's."""

    def __init__(self, settings: DpSgd) -> None:
        """`settings` say how much is clipped and how much noise is added."""
        super().__init__()
        self.settings = settings

    def __call__(self, stack: Stack, x: Tensor, y: Tensor, rows: list[NDArray[np.int64]], turn: Turn) -> Stack:
        """The clients' models after their local training."""
        own = self.told(turn, max(map(len, rows)))
        return own.train(stack, x, y, rows, np.random.default_rng(turn.seeds))

    def told(self, turn: Turn, largest: int) -> DpSgd:
        """The settings of one round, for clients with at most `largest` records."""
        recipe = turn.settings.recipe(turn.number, largest)
        return replace(
            self.settings, epochs=recipe.epochs, batch=recipe.batch, rate=recipe.rate, momentum=recipe.momentum
        )
