"""How a training went: the losses of every epoch, and how far the loss gives members away at some of them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.reports import Figure, Table

MILESTONES = frozenset(step * 10**power for power in range(4) for step in (1, 2, 5))
"""The epochs at which members are told from others, besides the last one."""
MEMORY = "What the loss gives away"
"""Title of a table and of a figure."""


@dataclass
class Course:
    """What is known after each epoch."""

    training: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    milestones: list[tuple[int, float, float, float]] = field(default_factory=list)
    """Epoch, mean losses of members and of others, AUC of the loss."""

    def note(self, training: float, others: NDArray[np.float64]) -> None:
        """One more epoch."""
        self.training.append(training)
        self.others.append(float(others.mean()))

    def note_milestone(self, members: NDArray[np.float64], others: NDArray[np.float64]) -> None:
        """The losses of all sentences after the epoch that was noted last."""
        is_member = np.arange(len(members) + len(others)) < len(members)
        auc = metrics.auc(-np.concatenate([members, others]), is_member)
        self.milestones.append((len(self.training), float(members.mean()), float(others.mean()), auc))

    def figure(self) -> Figure:
        """The loss curve so far."""
        epochs = list(range(1, len(self.training) + 1))
        arrays = {"x": epochs, "y": [self.training, self.others], "series": ["Members, while training", "Others"]}
        return Figure("lines", "Loss by epoch", "Epoch", "Mean loss (nats)", arrays)

    def memory(self) -> Figure:
        """The AUC at the milestones."""
        epochs, _, _, areas = zip(*self.milestones, strict=True)
        arrays = {"x": list(epochs), "y": [list(areas)], "series": ["AUC of the loss"], "log_x": True}
        return Figure("lines", MEMORY, "Epoch", "AUC", arrays, "0.5 is a blind guess.")

    def tables(self) -> tuple[Table, Table]:
        """The losses of every epoch, and the milestones."""
        rows = tuple(zip(range(1, len(self.training) + 1), self.training, self.others, strict=True))
        return (
            Table(
                "What the loss gives away", ("Epoch", "Loss of members", "Loss of others", "AUC"), (*self.milestones,)
            ),
            Table("Loss by epoch", ("Epoch", "Training loss", "Loss of others"), rows),
        )
