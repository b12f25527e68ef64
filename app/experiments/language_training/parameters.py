"""What a person sets for a training; loads no torch."""

from dataclasses import dataclass

from app.experiments.base import Group, Layout
from app.language.recipes import Recipe
from app.language.splits import SHARE, SHUFFLED, WAYS
from app.parameters import parameter


@dataclass(frozen=True)
class Parameters(Recipe):
    """The parameters of one training."""

    name: str = parameter("", "How the checkpoint is called; empty takes the experiment's own name.")
    split: str = parameter(
        SHUFFLED,
        "Which sentences are members. As it stands, duplicates can be on both sides, which spoils every comparison.",
        choices=tuple(WAYS),
    )
    share: float = parameter(SHARE, "Share of the sentences that are members.", minimum=0.05, maximum=0.95)

    def recipe(self) -> Recipe:
        """How the model is trained."""
        return Recipe(self.epochs, self.batch_size, self.learning_rate, self.embedding, self.hidden)


LAYOUT = Layout(
    groups=(
        Group("Training", ("name", "epochs", "batch_size", "learning_rate")),
        Group("Members", ("split", "share"), is_folded=True),
        Group("Network", ("embedding", "hidden"), is_folded=True),
    ),
    titles={"split": WAYS},
)
