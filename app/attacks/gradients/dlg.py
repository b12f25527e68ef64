"""Deep leakage from gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, silent
from app.attacks.gradients.distances import LAYERS, Distance
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.quasi_newton import QuasiNewton
from app.attacks.gradients.search import generator, solve
from app.attacks.gradients.simulate import has_kinks, one_hot
from app.attacks.gradients.victims import Victims
from app.parameters import parameter


@dataclass(frozen=True)
class Dlg(GradientAttack):
    """Search for inputs and labels whose gradient, or update, is the one that was shared."""

    title: ClassVar[str] = "Deep leakage from gradients"
    source: ClassVar[str] = (
        "Zhu, Liu and Han, 2019, NeurIPS, algorithm 1: squared distance, L-BFGS, soft labels. With a check of every "
        "step, several starts, the first layers of a smooth model weighted up and the end of its search whitened by "
        "the matrix of Gauss and Newton (Nocedal and Wright, 2006, ch. 10); where the model has kinks, Adam first, "
        "after which likely labels are taken for certain; and an update matched by simulating the client's steps."
    )

    evaluations: int = parameter(
        8000, "Gradients that one start may evaluate (the paper: 300 times up to 25).", minimum=20, maximum=1_000_000
    )
    restarts: int = parameter(4, "Further starts for victims whose own loss is not small yet.", minimum=0, maximum=1000)
    trial: int = parameter(
        300, "Evaluations after which a start with a high loss is given up.", minimum=20, maximum=1_000_000
    )
    hopeless: float = parameter(
        2e-3, "The loss that is high, as a share of the squared length of the gradient; with kinks at least 0.05.",
        minimum=0.0, maximum=1e6,
    )  # fmt: skip
    solved: float = parameter(5e-10, "The loss at which a victim is done.", minimum=0.0, maximum=1.0)
    ripe: float = parameter(
        3e-6, "The loss from which a smooth model of few weights is solved as least squares; 0: it never is.",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    history: int = parameter(60, "Steps that L-BFGS remembers.", minimum=1, maximum=1000)
    spread: float = parameter(
        0.1, "Deviation of the start around the middle of the range.", minimum=0.0, maximum=10.0, unit="ranges"
    )
    warm: int = parameter(
        300, "Steps of Adam before L-BFGS, for a model with kinks such as ReLU; 0: none.", minimum=0, maximum=1_000_000
    )
    layers: str = parameter(
        "fitting",
        "Weights of the layers: equal as in the paper, more for early ones, or the first with kinks, else the second.",
        choices=("fitting", *LAYERS),
    )
    double: bool = parameter(
        False, "Compute in double precision: two to four times as slow, and surer where single precision stalls."
    )

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One reconstruction for each observation; known labels are used."""

        def method(victims: Victims) -> list[Reconstruction]:
            search = QuasiNewton(
                evaluations=self.evaluations,
                history=self.history,
                restarts=self.restarts,
                trial=self.trial,
                hopeless=self.hopeless,
                solved=self.solved,
                spread=self.spread,
                warm=self.warm,
                ripe=self.ripe,
            )
            matching = Matching(victims, Distance("l2", self.weighting(victims)))
            best = search(matching, self.known(victims, rng), generator(rng, device), progress)
            return best.reconstructions(victims)

        return solve(observations, device, method, torch.float64 if self.double else torch.float32)

    def weighting(self, victims: Victims) -> str:
        """One of LAYERS: with kinks, weights for early layers would keep the others from leading past them."""
        if self.layers != "fitting":
            return self.layers
        return "equal" if has_kinks(victims.client.model) else "early"

    def known(self, victims: Victims, rng: np.random.Generator) -> Tensor | None:
        """(V, B, K): labels that need not be searched for."""
        if victims.first.labels is None:
            return None
        labels = [one.labels for one in victims.observations if one.labels is not None]
        return one_hot(torch.stack(labels), victims.first.classes).to(victims.mean)
