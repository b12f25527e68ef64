"""The settings of a round that do not depend on its track."""

from dataclasses import dataclass

from app.parameters import parameter


@dataclass(frozen=True)
class RoundRules:
    """How a round is played and scored; frozen when the round opens."""

    MATCHES_PER_TEAM: int = parameter(3, "How many defences each team attacks.", minimum=1, maximum=1000)
    UPLOADS_PER_DAY: int = parameter(
        20, "Uploads of one kind that a team may make in 24 hours.", minimum=1, maximum=10_000
    )
    UPLOADS_PER_PHASE: int = parameter(
        60, "Uploads of one kind that a team may make in one phase.", minimum=1, maximum=10_000
    )
    counted_attack: str = parameter("latest", "Which attack counts in a match.", choices=("latest", "best", "selected"))
    missing_defence: str = parameter(
        "skip",
        "Teams without an accepted defence are left out of the matches, or the house plays a defence in their place.",
        choices=("skip", "house"),
    )
    feedback_step: float = parameter(
        0.0,
        "Attack results are shown to teams rounded to multiples of this, so that hidden labels cannot be guessed by "
        "trying; 0 shows them exactly.",
        minimum=0,
        maximum=0.5,
    )
    scoring: str = parameter("balanced", "How utility and leakage become points.", choices=("balanced", "classic"))
    defence_weight: float = parameter(1.0, "Balanced scoring: weight of the defence.", minimum=0, maximum=100)
    attack_weight: float = parameter(1.0, "Balanced scoring: weight of the attack.", minimum=0, maximum=100)
    house_counts: bool = parameter(
        True, "Balanced scoring: the house's adversaries count towards the worst leakage of a defence."
    )
