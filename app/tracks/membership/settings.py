"""What a round of membership inference can be tuned by."""

from dataclasses import dataclass

from app.errors import InvalidParameters
from app.parameters import parameter


@dataclass(frozen=True)
class Settings:
    """The settings of one round."""

    TRAINING_RECORDS: int = parameter(
        450,
        "Records of each team's secret training set: a random half of a pool of twice as many.",
        minimum=20,
        maximum=50_000,
    )
    MEMBERS: int = parameter(
        400,
        "Members among the candidates of a challenge; there are as many strangers from the other half of the pool.",
        minimum=20,
        maximum=20_000,
    )
    POPULATION_RECORDS: int = parameter(
        540, "Public records, from which attackers learn what models are like.", minimum=50, maximum=50_000
    )
    HELD_OUT_RECORDS: int = parameter(
        350, "Hidden records, by which the referee measures utility.", minimum=50, maximum=50_000
    )
    LABEL_NOISE: float = parameter(
        0.1,
        "Share of the pool and of the population whose labels are replaced by random ones, as real labels err: only "
        "memory explains them. Held-out records keep their labels, and sentences have none.",
        minimum=0.0,
        maximum=0.5,
    )
    MIN_ACCURACY: float = parameter(
        0.2,
        "A defence must classify at least this share of the held-out records correctly; of sentences, name this share "
        "of the next words.",
        minimum=0.0,
        maximum=0.99,
    )
    MAX_MODEL_MB: float = parameter(16.0, "Size of a model's file.", minimum=0.01, maximum=500.0, unit="MB")
    MAX_MILLION_OPERATIONS: int = parameter(
        100,
        "Million multiplications and additions that a model may take for one record.",
        minimum=1,
        maximum=10_000,
    )

    def __post_init__(self) -> None:
        """Refuse settings under which no fair game can be played."""
        if self.MEMBERS > self.TRAINING_RECORDS:
            raise InvalidParameters({"MEMBERS": f"must be at most TRAINING_RECORDS ({self.TRAINING_RECORDS})"})

    @property
    def records(self) -> int:
        """All different records that a round needs."""
        return 2 * self.TRAINING_RECORDS + self.POPULATION_RECORDS + self.HELD_OUT_RECORDS
