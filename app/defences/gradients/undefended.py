"""No protection: the example that every other one is compared with."""

from dataclasses import dataclass
from typing import ClassVar

from app.defences.gradients.base import GradientDefence


@dataclass(frozen=True)
class Undefended(GradientDefence):
    """Shares the gradient or the update as it is."""

    title: ClassVar[str] = "Undefended"
    source: ClassVar[str] = "McMahan, Moore, Ramage, Hampson and Agüera y Arcas, 2017, AISTATS: FedSGD and FedAvg"
