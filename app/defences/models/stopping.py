"""Early stopping: keep the weights that were best on records that were held out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from app.parameters import parameter


@dataclass(frozen=True)
class EarlyStopping:
    """Stop a model when it has not become better for so many looks at the held-out records."""

    title: ClassVar[str] = "Early stopping"
    source: ClassVar[str] = (
        "Prechelt, 1998, Neural Networks: Tricks of the Trade, class UP with a patience; as a protection: Song and "
        "Mittal, 2021, USENIX Security, section 5. The best weights are kept, not the last ones."
    )

    patience: int = parameter(3, "Looks without an improvement after which a model stops.", minimum=1, maximum=10_000)
    least: float = parameter(0.0, "An improvement is a fall of the value by more than this.", minimum=0.0, maximum=1e6)

    def watch(self, state: Mapping[str, Tensor]) -> "Watch":
        """Begin to watch stacked models; `state` are their tensors (M, ...)."""
        return Watch(self, state)


class Watch:
    """The best weights so far of each of M stacked models."""

    def __init__(self, rule: EarlyStopping, state: Mapping[str, Tensor]) -> None:
        """Begin with the weights as they are, which any value improves on."""
        self._rule = rule
        self.best = {name: tensor.clone() for name, tensor in state.items()}
        first = next(iter(self.best.values()))
        self.value = torch.full((len(first),), torch.inf, device=first.device)
        self._waited = torch.zeros(len(first), dtype=torch.int64, device=first.device)

    @property
    def running(self) -> Tensor:
        """(M,): which models have not stopped."""
        return self._waited < self._rule.patience

    @property
    def is_over(self) -> bool:
        """Whether all models have stopped."""
        return not bool(self.running.any())

    def look(self, state: Mapping[str, Tensor], value: Tensor) -> None:
        """Tell the value (M,), smaller is better, of the models' present weights; stopped models keep what they had."""
        better = self.running & (value < self.value - self._rule.least)
        self.value = torch.where(better, value, self.value)
        self._waited = torch.where(better, 0, self._waited + 1)
        for name, tensor in state.items():
            self.best[name][better] = tensor[better]
