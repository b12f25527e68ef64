"""What everybody knows of a round: the model, the batches, and how a client trains."""

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from app.tracks.gradient_leakage.records import Parts
    from app.tracks.gradient_leakage.settings import Settings


@dataclass(frozen=True)
class Rules:
    """The round in numbers, as it stands in the files that teams get."""

    model: str
    shape: tuple[int, ...]
    """The shape of one record."""
    classes: int
    batches: int
    records: int
    """Records of one batch."""
    shared: str
    """"gradient" or "update"."""
    learning_rate: float
    local_epochs: int
    local_batch: int
    """Records of one local step; 0: the whole batch."""
    labels: str
    """"hidden" or "given"."""

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """The shape of an answer to one opponent."""
        return (self.batches, self.records, *self.shape)

    def as_text(self) -> str:
        """The rules as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    def as_array(self) -> NDArray:
        """The rules as they lie in a bundle."""
        return np.array(self.as_text())


def rules(settings: "Settings", parts: "Parts") -> Rules:
    """The rules of a round with these settings."""
    return Rules(
        model=settings.MODEL,
        shape=parts.shape,
        classes=parts.classes,
        batches=settings.BATCHES,
        records=settings.RECORDS,
        shared=settings.SHARED,
        learning_rate=settings.LEARNING_RATE,
        local_epochs=settings.LOCAL_EPOCHS,
        local_batch=settings.LOCAL_BATCH,
        labels=settings.LABELS,
    )


def from_array(text: NDArray) -> Rules:
    """The rules that `as_array` wrote."""
    values = json.loads(str(text))
    return Rules(**{**values, "shape": tuple(values["shape"])})
