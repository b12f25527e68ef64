"""What a round of gradient leakage can be tuned by."""

from dataclasses import dataclass

from app.errors import InvalidParameters
from app.parameters import parameter

MODELS = ("mlp", "fc2", "lenet", "lenet_relu", "cnn")
MOST_RECORDS = 512


@dataclass(frozen=True)
class Settings:
    """The settings of one round."""

    MODEL: str = parameter(
        "mlp",
        "The architecture: three dense layers (mlp) or two (fc2), the convolutional network of the first gradient "
        "attacks with sigmoids (lenet) or with ReLUs and one more dense layer (lenet_relu), or a larger one (cnn).",
        choices=MODELS,
    )
    WARM_UP: int = parameter(
        0, "Times that the model saw the public records before the round; 0: it is untrained.", minimum=0, maximum=100
    )
    BATCHES: int = parameter(8, "Private batches of each team.", minimum=1, maximum=64)
    RECORDS: int = parameter(4, "Private records of one batch.", minimum=1, maximum=64)
    LABELS: str = parameter(
        "hidden", "Whether opponents are told the labels of each batch.", choices=("hidden", "given")
    )
    SHARED: str = parameter(
        "gradient",
        "What a client shares: the gradient over its batch, or the update after several local steps.",
        choices=("gradient", "update"),
    )
    LEARNING_RATE: float = parameter(
        0.1, "Step of the server along a gradient, or of a client's local steps.", minimum=1e-5, maximum=10.0
    )
    LOCAL_EPOCHS: int = parameter(
        2, "Times that a client passes over its batch before it shares an update.", minimum=1, maximum=50
    )
    LOCAL_BATCH: int = parameter(0, "Records of one local step; 0: the whole batch.", minimum=0, maximum=64)
    PUBLIC: int = parameter(600, "Records that everybody gets.", minimum=50, maximum=5000)
    HELD_OUT: int = parameter(400, "Records on which the referee tries updates.", minimum=50, maximum=5000)
    DISTORTION: float = parameter(
        1.0,
        "How far the built-in digits are turned, moved and stretched, each by a chance of its own, so that looking the "
        "private ones up does not help; 0: not at all. Other data sets stay as they are.",
        minimum=0.0,
        maximum=3.0,
    )
    MAX_UPLOAD_MB: float = parameter(
        30.0,
        "Size of a defence in single precision; large images and many batches make it large. What the site takes at "
        "all (MAX_CONTENT_LENGTH) holds as well.",
        minimum=1.0,
        maximum=2000.0,
        unit="MB",
    )

    @property
    def needs_images(self) -> bool:
        """Whether the model takes images only."""
        return self.MODEL not in {"mlp", "fc2"}

    def __post_init__(self) -> None:
        """Refuse settings under which no fair game can be played."""
        problems = {}
        if self.BATCHES * self.RECORDS > MOST_RECORDS:
            problems["BATCHES"] = f"times RECORDS must be at most {MOST_RECORDS}"
        if self.LOCAL_BATCH > self.RECORDS:
            problems["LOCAL_BATCH"] = f"must be at most RECORDS ({self.RECORDS})"
        if problems:
            raise InvalidParameters(problems)
