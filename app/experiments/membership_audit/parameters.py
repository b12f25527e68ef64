"""What a person sets for an audit, read and checked before anything is queued; loads no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.attacks.membership.text import ATTACKS, MinK, MinKPlusPlus, Need, TextAttack
from app.errors import InvalidParameters
from app.experiments.base import Group, Layout
from app.experiments.membership_audit import sentences
from app.parameters import parameter

QUICK = ", ".join(name for name, attack in ATTACKS.items() if Need.REFERENCES not in attack.needs)
OF_STRANGERS = tuple(name for name, attack in ATTACKS.items() if attack.scores_strangers)
LEAST_REFERENCES = 4
"""Two models with each sentence and two without, on average."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of one audit; texts that hold lists are read by the methods."""

    sentences: str = parameter(
        "", "Sentences of your own, one a line or separated by |; without any, nine examples are taken.", is_long=True
    )
    batch_size: int = parameter(
        64, "Sentences that are scored at a time; changes nothing else.", minimum=1, maximum=1024
    )
    attacks: str = parameter(QUICK, f"What is tried, separated by commas: {', '.join(ATTACKS)}.")
    verdict_by: str = parameter("loss", "The attack that gives the verdicts.", choices=OF_STRANGERS)
    false_positive_rate: float = parameter(
        0.05, "Share of sentences that were not trained on which a verdict may accuse.", minimum=0.0001, maximum=0.5
    )
    references: int = parameter(
        0,
        "Reference models, each trained on a random half of the corpus, for the attacks that compare with them. Each "
        "takes about as long as the model itself.",
        minimum=0,
        maximum=128,
    )
    reference_epochs: int = parameter(
        0, "Epochs of a reference model; 0 takes the model's own.", minimum=0, maximum=1000
    )
    min_k: float = parameter(0.2, "Min-K: share of the words that count.", minimum=0.01, maximum=1.0)
    neighbours: int = parameter(10, "Neighbourhood: disturbed copies of each sentence.", minimum=1, maximum=100)

    def __post_init__(self) -> None:
        """Refuse texts that cannot be read, all at once. Raises InvalidParameters."""
        readers: dict[str, Callable[[], Any]] = {
            "sentences": self.asked,
            "attacks": self.chosen,
            "references": self.check_references,
        }
        problems: dict[str, str] = {}
        for name, reader in readers.items():
            try:
                reader()
            except ValueError as error:
                problems[name] = str(error)
        if problems:
            raise InvalidParameters(problems)

    def asked(self) -> tuple[str, ...]:
        """The sentences that were asked about; none for the examples."""
        return sentences.parse(self.sentences)

    def chosen(self) -> dict[str, TextAttack]:
        """The attacks by name, each once, in the order of the list; the verdict's is among them."""
        names = {part.strip() for part in self.attacks[:1_000].split(",")} - {""}
        unknown = sorted(names - set(ATTACKS))
        if unknown:
            raise ValueError(f"must be among {', '.join(ATTACKS)}, which {unknown[0][:40]!r} is not")
        names.add(self.verdict_by)
        return {name: self._made(attack) for name, attack in ATTACKS.items() if name in names}

    def _made(self, attack: type[TextAttack]) -> TextAttack:
        return attack(share=self.min_k) if attack in (MinK, MinKPlusPlus) else attack()  # type: ignore[call-arg]

    def needs(self, need: Need) -> bool:
        """Whether one of the chosen attacks asks for it."""
        names = {part.strip() for part in self.attacks.split(",")} | {self.verdict_by}
        return any(need in ATTACKS[name].needs for name in names & set(ATTACKS))

    def check_references(self) -> None:
        """Refuse attacks that compare with reference models when there are none. Raises ValueError."""
        if self.needs(Need.REFERENCES) and self.references < LEAST_REFERENCES:
            raise ValueError(f"must be at least {LEAST_REFERENCES} for the chosen attacks")


LAYOUT = Layout(
    groups=(
        Group("Sentences", ("sentences", "false_positive_rate", "verdict_by")),
        Group("Attacks", ("attacks", "references", "reference_epochs")),
        Group("Details", ("batch_size", "min_k", "neighbours"), is_folded=True),
    ),
    titles={"verdict_by": {name: ATTACKS[name].title for name in OF_STRANGERS}},
    presets={"attacks": {"Quick": QUICK, "All": ", ".join(ATTACKS)}, "references": {"None": "0", "14": "14"}},
)
