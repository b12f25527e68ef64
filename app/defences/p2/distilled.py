"""P2 distilled: models that have learnt less are taught what the trained ones say of records nobody trained on."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from app.defences.p2.base import PostProtection, Progress, Shares, each_rows, silent
from app.parameters import parameter
from app.training import Recipe, Stack, cross_entropy, logits, train


@dataclass(frozen=True)
class Distilled(PostProtection):
    """The additional round without the members: what was learnt of them by heart cannot be seen on other records."""

    title: ClassVar[str] = "P2, distilled"
    source: ClassVar[str] = (
        "The additional round of Poisoning as a Post-Protection, 2025, IEEE TDSC, with the training of Shejwalkar and "
        "Houmansadr, 2021, AAAI (distillation for membership privacy), in place of the poisoned one: each client "
        "teaches pupils, such as the global model of the first round, the predictions of the trained model for the "
        "records that it held out. Other than there the pupils need not be fresh. Nothing is poisoned: poisoned "
        "predictions cost accuracy and hid nothing more."
    )

    epochs: int = parameter(20, "Passes over the records that a client held out.", minimum=0, maximum=10_000)
    rate: float = parameter(1e-3, "Learning rate of Adam.", minimum=0.0, maximum=1.0)
    batch: int = parameter(64, "Records of one step.", minimum=1, maximum=100_000)

    def protect(
        self,
        stack: Stack,
        shares: Shares,
        rng: np.random.Generator,
        progress: Progress = silent,
        pupils: Stack | None = None,
    ) -> Stack:
        """The pupils after the additional round; without any the models teach themselves, which changes little.

        `pupils` are as many as the models, of the same architecture. Labels are not looked at. Raises ValueError if a
        client held out nothing.
        """
        if len(shares.held_out) != len(stack) or not all(map(len, shares.held_out)):
            raise ValueError("distillation needs held-out records of every client")
        held = [shares.x[rows] for rows in each_rows(shares.held_out, shares.x.device)]
        said = [
            logits(stack.take(slice(k, k + 1)), own[None], is_own=True)[0].softmax(-1) for k, own in enumerate(held)
        ]
        ends = np.cumsum([len(own) for own in held])
        rows = np.split(np.arange(ends[-1]), ends[:-1])
        recipe = Recipe(self.epochs, self.batch, self.rate, momentum=0.0, optimiser="adam")
        learning = stack if pupils is None else pupils
        return train(learning, torch.cat(held), torch.cat(said), rows, recipe, rng, cross_entropy, progress=progress)
