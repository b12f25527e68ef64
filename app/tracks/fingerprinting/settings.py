"""What a round of website fingerprinting can be tuned by; names and defaults are the predecessor's."""

from dataclasses import dataclass

from app.errors import InvalidParameters
from app.parameters import parameter


@dataclass(frozen=True)
class Settings:
    """The settings of one round."""

    NB_CLASSES: int = parameter(100, "Cells that every defence must contain, numbered 1 to N.", minimum=2, maximum=1000)
    NB_TRACES_TO_CLASSIFY: int = parameter(
        300, "Captures that every attacker has to classify; each cell has at least one.", minimum=2, maximum=20_000
    )
    MEAN_NB_REP_PER_CLASS: int = parameter(
        32, "Repetitions per cell: the middle of the allowed range.", minimum=2, maximum=1000
    )
    DEVIATION_NB_REP_PER_CLASS: int = parameter(
        7, "Repetitions per cell must differ from the middle by less than this.", minimum=1, maximum=1000
    )
    ROWS_PER_CAPTURE: int = parameter(
        5, "Every capture must have more packets than this.", minimum=1, maximum=1000, unit="packets"
    )
    DEFENCE_COLUMNS: str = parameter(
        "cell_id,rep,direction_size,timestamp", "Columns of a defence: cell, repetition, size and time, in this order."
    )
    ATTACK_COLUMNS: str = parameter(
        "team_id,capture_id", "Columns of an attack: team and capture, before proba_class_1 to proba_class_N."
    )
    MAX_ROWS: int = parameter(
        8_000_000, "Packets that a defence may have.", minimum=10, maximum=200_000_000, unit="packets"
    )
    MAX_UNZIPPED_MB: int = parameter(400, "Size that an upload may unpack to.", minimum=1, maximum=20_000, unit="MB")
    PROBABILITY_TOLERANCE: float = parameter(
        1e-3, "The probabilities of one capture must sum to 1 within this.", minimum=0.0, maximum=0.1
    )

    def __post_init__(self) -> None:
        """Refuse settings that no defence could satisfy."""
        problems = {}
        fewest = max(1, self.MEAN_NB_REP_PER_CLASS - self.DEVIATION_NB_REP_PER_CLASS + 1)
        if fewest < 2:
            problems["DEVIATION_NB_REP_PER_CLASS"] = "must leave every cell at least two repetitions"
        if not self.NB_CLASSES <= self.NB_TRACES_TO_CLASSIFY <= self.NB_CLASSES * (fewest - 1):
            problems["NB_TRACES_TO_CLASSIFY"] = (
                f"must lie between NB_CLASSES ({self.NB_CLASSES}) and NB_CLASSES x (fewest repetitions - 1) "
                f"({self.NB_CLASSES * (fewest - 1)}), so that every cell keeps a training capture"
            )
        if len(self.defence_columns) != 4 or len(set(self.defence_columns)) != 4:
            problems["DEFENCE_COLUMNS"] = "must be four different names, separated by commas"
        if len(self.attack_columns) != 2 or len(set(self.attack_columns)) != 2:
            problems["ATTACK_COLUMNS"] = "must be two different names, separated by commas"
        if problems:
            raise InvalidParameters(problems)

    @property
    def defence_columns(self) -> tuple[str, ...]:
        """The names of cell, repetition, size and time."""
        return tuple(name.strip() for name in self.DEFENCE_COLUMNS.split(",") if name.strip())

    @property
    def attack_columns(self) -> tuple[str, ...]:
        """The names of team and capture."""
        return tuple(name.strip() for name in self.ATTACK_COLUMNS.split(",") if name.strip())
