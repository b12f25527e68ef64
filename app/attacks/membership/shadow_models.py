"""Shadow models: networks of one's own show how members look."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import attack_network, signals
from app.attacks.membership.base import Progress, Records, Target, silent
from app.attacks.membership.references import ReferenceAttack
from app.parameters import parameter
from app.training import Recipe

FEWEST = 20
"""Members and others that a class needs for a network of its own; other classes share one that was trained on all."""


@dataclass(frozen=True)
class ShadowModels(ReferenceAttack):
    """One attack network for each class learns from what shadow models say about records in and out of them."""

    title: ClassVar[str] = "Shadow models"
    source: ClassVar[str] = (
        "Shokri, Stronati, Song and Shmatikov, 2017, IEEE S&P; shadows on the population, which the target has not"
        " seen, each on one half with the other half as its strangers; all networks are trained at once"
    )

    hidden: int = parameter(64, "Hidden units of an attack network.", minimum=1, maximum=1024)
    attack_epochs: int = parameter(30, "Passes of an attack network.", minimum=1, maximum=1000)
    attack_rate: float = parameter(3e-3, "Its learning rate (Adam).", minimum=1e-6, maximum=1.0)

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) log-odds of membership."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=False)
        n = len(candidates)
        inputs = np.exp(signals.log_softmax(made.logits[:, n:])).reshape(-1, target.classes)
        is_member, y = made.inside[:, n:].reshape(-1), np.tile(made.y[n:], len(made))
        chosen = attack_network.balanced(is_member, rng)
        known, rows = _by_class(y[chosen], is_member[chosen])
        recipe = Recipe(self.attack_epochs, 256, self.attack_rate, optimiser="adam")
        networks = attack_network.fitted(
            inputs, is_member, [chosen[own] for own in rows], self.hidden, recipe, rng, device
        )
        asked = np.exp(signals.log_softmax(target.logits(candidates.x)))
        odds = attack_network.log_odds(networks, asked)
        # The last network was trained on all classes.
        place = np.full(max(target.classes, int(candidates.y.max(initial=0)) + 1), len(known))
        place[known] = np.arange(len(known))
        return odds[place[candidates.y], np.arange(n)]


def _by_class(y: NDArray[np.int64], is_member: NDArray[np.bool_]) -> tuple[list[int], list[NDArray[np.int64]]]:
    """The classes with enough records on both sides, and the rows of each, followed by all rows."""
    known, rows = [], []
    for label in np.unique(y):
        own = np.flatnonzero(y == label)
        if min(is_member[own].sum(), (~is_member[own]).sum()) >= FEWEST:
            known.append(int(label))
            rows.append(own)
    return known, [*rows, np.arange(len(y))]
