"""GradInversion: guesses from several starts hold together, and features have the statistics that the model keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from app.attacks.gradients.base import Unsuited
from app.attacks.gradients.distances import KINDS
from app.attacks.gradients.ig import InvertingGradients
from app.attacks.gradients.priors import Consistency, NormStatistics, magnitude, squared_variation
from app.attacks.gradients.search import Prior
from app.attacks.gradients.victims import Victims
from app.parameters import parameter


@dataclass(frozen=True)
class GradInversion(InvertingGradients):
    """Match gradients from several starts at once, drawn to their mean and to statistics of batch normalisation."""

    title: ClassVar[str] = "GradInversion"
    source: ClassVar[str] = (
        "Yin, Mallya, Vahdat, Alvarez, Kautz and Molchanov, 2021, CVPR, eqs. 4 to 11. The mean of the starts is taken "
        "without registration; labels may repeat; without batch normalisation its term is left out."
    )

    restarts: int = parameter(3, "Further starts, all at once, which hold together.", minimum=0, maximum=1000)
    variation: float = parameter(
        1e-4, "Weight of the sum of squared differences of neighbours.", minimum=0.0, maximum=100.0
    )
    length: float = parameter(1e-6, "Weight of the mean square.", minimum=0.0, maximum=100.0)
    statistics: float = parameter(0.1, "Weight of the statistics of the features.", minimum=0.0, maximum=1e6)
    consistency: float = parameter(0.01, "Weight of the distance to the mean of the starts.", minimum=0.0, maximum=1e6)
    distance: str = parameter("l2", "What is made small.", choices=tuple(KINDS))

    def priors(self, victims: Victims, index: Tensor) -> Sequence[tuple[float, Prior]]:
        """Penalties and their weights."""
        found: list[tuple[float, Prior]] = [
            (self.variation, squared_variation),
            (self.length, magnitude),
            (self.consistency, Consistency(index)),
        ]
        try:
            statistics = NormStatistics(victims)
        except Unsuited:
            return found
        return [*found, (self.statistics, lambda x: statistics(x, index))]
