"""The experiment itself: deal out records, let the federation and its malicious client play, judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.experiments.base import Experiment, Group, Layout, Report, Watch
from app.experiments.imitation import CARD
from app.metrics import wilson
from app.parameters import parameter
from app.reports import Estimate, Figure, Table

COLOURS = 3
MOST_SHOWN = 12


@dataclass(frozen=True)
class Parameters:
    """The federation, and what its malicious client does."""

    tracked: int = parameter(3, "The class that is imitated; the attacker owns none of it.", minimum=0, maximum=1000)
    clients: int = parameter(4, "Honest clients.", minimum=1, maximum=50)
    rounds: int = parameter(30, "Rounds of the federation.", minimum=1, maximum=500)
    model: str = parameter("cnn", "The shared model.", choices=("mlp", "lenet_relu", "cnn", "cnn3"))
    epochs: int = parameter(2, "Passes of an honest client over its records in a round.", minimum=1, maximum=50)
    batch: int = parameter(50, "Records of a local step.", minimum=1, maximum=1000)
    rate: float = parameter(0.05, "Learning rate of the clients.", minimum=1e-5, maximum=10.0)
    passes: int = parameter(10, "Passes of the attacker over its records in a round.", minimum=1, maximum=200)
    maker_rate: float = parameter(2e-3, "Learning rate of the generator.", minimum=1e-6, maximum=1.0)
    images: int = parameter(64, "Imitations that are judged.", minimum=8, maximum=1000)


class ImitationStudy(Experiment):
    """Deep models under the GAN, in a federation."""

    card = CARD
    Parameters = Parameters
    layout = Layout(
        (
            Group("What is imitated", ("tracked", "passes", "maker_rate", "images")),
            Group("Federation", ("clients", "rounds", "model", "epochs", "batch", "rate")),
        )
    )

    def run(
        self,
        inputs: Mapping[str, Path],
        parameters: Any,
        rng: np.random.Generator,
        device: str,
        progress: Watch,
    ) -> Report:
        """Play the federation. Raises InvalidUpload when the images do not suit the attack."""
        # The class is imported where forms are made of its parameters; torch is wanted only here.
        from app.experiments.imitation import federation

        return report(federation.play(inputs, parameters, rng, device, progress), parameters)


def report(found: Any, parameters: Parameters) -> Report:
    """The report on what the malicious client learnt; `found` is a `federation.Played`."""
    imitation, count = found.imitation, parameters.images
    last = imitation.scores[-1]
    rounds = list(range(1, len(imitation.scores) + 1))
    shares = [list(imitation.scores), list(found.accuracies)]
    curve = {"x": rounds, "y": shares, "series": ["taken for real", "accuracy"]}
    chosen = np.unique(np.linspace(0, len(rounds) - 1, min(MOST_SHOWN, len(rounds))).round().astype(int))
    snapshots = imitation.snapshots.cpu().numpy()
    rows = tuple(zip(rounds, imitation.scores, found.accuracies, strict=True))
    made = imitation.images.cpu().numpy()
    return Report(
        metrics={
            "success": Estimate(last, *wilson(last * count, count)),
            "untrained": Estimate(imitation.untrained, *wilson(imitation.untrained * count, count)),
            "judge": Estimate(imitation.judge_accuracy),
            "accuracy": Estimate(found.accuracies[-1]),
        },
        tables=(Table("Rounds", ("Round", "Taken for real", "Accuracy of the federation"), rows),),
        figures=(
            _pictures("Real records of the class", found.real[:MOST_SHOWN], ["real"] * MOST_SHOWN),
            _pictures("One imitation, round by round", snapshots[chosen], [f"round {place + 1}" for place in chosen]),
            _pictures("Imitations of the last round", made[:MOST_SHOWN], [""] * MOST_SHOWN),
            Figure("lines", "How the imitation grows", "Round", "Share", curve),
        ),
        arrays={"images": made, "snapshots": snapshots, "scores": np.array(imitation.scores)},
        notes=(
            "The attacker owns no record of the class. What it makes shows what the class looks like on the whole, "
            "not a record of anybody.",
        ),
    )


def _pictures(title: str, images: np.ndarray, captions: list[str]) -> Figure:
    drawn = [
        (one.transpose(1, 2, 0) if len(one) == COLOURS else one.mean(axis=0)).clip(0, 1).round(3).tolist()
        for one in images
    ]
    return Figure("images", title, "", "", {"images": drawn, "captions": captions[: len(drawn)]})
