"""What a round of robustness can be tuned by."""

from dataclasses import dataclass

from app.errors import InvalidParameters
from app.parameters import parameter


@dataclass(frozen=True)
class Settings:
    """The settings of one round."""

    NORM: str = parameter(
        "linf",
        "How distance is measured: the largest change of a pixel (linf) or the Euclidean length of all changes (l2).",
        choices=("linf", "l2"),
    )
    EPSILON: float = parameter(
        0.15,
        "How far an input may be moved; pixels lie between 0 and 1. About 0.15 in linf and 1 in l2.",
        minimum=1e-3,
        maximum=8.0,
    )
    INPUTS: int = parameter(200, "Hidden images that every attacker has to move.", minimum=10, maximum=1000)
    HIDDEN: int = parameter(
        600, "Images that are kept for the referee; the others are public training images.", minimum=50, maximum=1000
    )
    SPLIT_SEED: int = parameter(
        1, "Decides which digits are hidden; change it for every round.", minimum=0, maximum=2**31 - 1
    )
    DISTORTION: float = parameter(
        1.0,
        "How strongly hidden digits are turned, moved and exposed, so that they cannot be looked up; 0 leaves them as "
        "they are. An own data set is never distorted.",
        minimum=0.0,
        maximum=3.0,
    )
    MIN_CLEAN_ACCURACY: float = parameter(
        0.5, "A defence must classify at least this share of the hidden images correctly.", minimum=0.2, maximum=0.99
    )
    MAX_MODEL_MB: float = parameter(16.0, "Size of a model's file.", minimum=0.01, maximum=500.0, unit="MB")
    MAX_MILLION_OPERATIONS: int = parameter(
        100,
        "Million multiplications and additions that a model may take for one image; attacks ask it thousands of times.",
        minimum=1,
        maximum=10_000,
    )

    def __post_init__(self) -> None:
        """Refuse settings under which no fair game can be played."""
        problems = {}
        if self.INPUTS > self.HIDDEN:
            problems["INPUTS"] = f"must be at most HIDDEN ({self.HIDDEN})"
        if self.NORM == "linf" and self.EPSILON > 1.0:
            problems["EPSILON"] = "must be at most 1 in the norm linf, which covers all images"
        if problems:
            raise InvalidParameters(problems)
