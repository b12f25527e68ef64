"""The experiment itself: read, split, train, report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.experiments.base import Experiment, Report, Watch
from app.experiments.language_training import CARD
from app.experiments.language_training.parameters import LAYOUT, Parameters


class LanguageTraining(Experiment):
    """A language model of a part of a corpus."""

    card = CARD
    Parameters = Parameters
    layout = LAYOUT

    def run(
        self,
        inputs: Mapping[str, Path],
        parameters: Any,
        rng: np.random.Generator,
        device: str,
        progress: Watch,
    ) -> Report:
        """Train a model. Raises InvalidUpload when the corpus or a batch cannot be used, or the loss diverges."""
        # The class is imported where forms are made of its parameters; torch is wanted only here.
        from app.experiments.language_training import training
        from app.language import corpora

        corpus = corpora.read(inputs["corpus"])
        return training.run(corpus, parameters, int(rng.integers(1 << 62)), device, progress)
