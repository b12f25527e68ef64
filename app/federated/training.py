"""How a federation trains, as its form, its API and its documentation know it."""

from dataclasses import dataclass

from app.parameters import parameter
from app.training import Recipe


@dataclass(frozen=True)
class FederatedTraining:
    """Federated averaging: local training from common weights (McMahan et al., 2017, AISTATS, algorithm 1)."""

    rounds: int = parameter(10, "Rounds of the federation.", minimum=1, maximum=10_000)
    epochs: int = parameter(5, "Passes of a client over its records in a round.", minimum=1, maximum=1000)
    batch: int = parameter(128, "Records of one local step; 0 takes all of a client's.", minimum=0, maximum=100_000)
    rate: float = parameter(0.005, "Learning rate of the first round.", minimum=0.0, maximum=1e3)
    momentum: float = parameter(0.0, "Momentum of SGD, from nothing in every round.", minimum=0.0, maximum=0.9999)
    weight_decay: float = parameter(0.0, "Squared-norm penalty added to the gradient.", minimum=0.0, maximum=1e3)
    decay: float = parameter(1.0, "Factor on the learning rate after every round.", minimum=0.0, maximum=1.0)
    optimiser: str = parameter("sgd", "The clients' optimiser.", choices=("sgd", "adam"))
    participation: float = parameter(1.0, "Share of the clients that train in a round.", minimum=1e-6, maximum=1.0)
    is_shuffled: bool = parameter(True, "Clients see their records in a new order in every epoch.")

    def rate_at(self, number: int) -> float:
        """The learning rate of a round, counted from 0."""
        return self.rate * self.decay**number

    def recipe(self, number: int, largest: int) -> Recipe:
        """How clients with at most `largest` records train in a round."""
        return Recipe(
            epochs=self.epochs,
            batch=self.batch or largest,
            rate=self.rate_at(number),
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            optimiser=self.optimiser,
            is_shuffled=self.is_shuffled,
        )
