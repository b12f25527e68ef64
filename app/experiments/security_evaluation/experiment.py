"""The experiment itself: read, choose, attack, check, report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.experiments.base import Axis, Experiment, Report, Watch
from app.experiments.security_evaluation import CARD, looks
from app.experiments.security_evaluation.layout import LAYOUT
from app.experiments.security_evaluation.parameters import Parameters
from app.reports import Figure


class SecurityEvaluation(Experiment):
    """Accuracy of a classifier against the size of the perturbation."""

    card = CARD
    Parameters = Parameters
    layout = LAYOUT
    is_inspectable = True

    @classmethod
    def axes(cls, arrays: Mapping[str, np.ndarray]) -> tuple[Axis, ...]:
        """The inspected samples, and the sizes of the perturbation."""
        return looks.axes(arrays)

    @classmethod
    def inspect(cls, arrays: Mapping[str, np.ndarray], place: tuple[int, ...]) -> tuple[Figure, ...]:
        """What the attack made of one sample at one size, and how it came there."""
        sample, size = place
        return looks.inspect(arrays, sample, size)

    def run(
        self,
        inputs: Mapping[str, Path],
        parameters: Any,
        rng: np.random.Generator,
        device: str,
        progress: Watch,
    ) -> Report:
        """Evaluate the model on the chosen samples. Raises InvalidUpload when model and data do not fit."""
        # The class is imported where forms are made of its parameters; torch is wanted only here.
        from app import image_sets
        from app.experiments.security_evaluation import attacking, reporting, samples, target, verification

        images = image_sets.read(inputs["dataset"])
        rows = samples.choose(images, parameters, rng)
        attacked = target.load(inputs["model"], images, parameters, device)
        found = attacking.run(attacked, samples.part(images, rows), parameters, rng, progress)
        fresh = target.load(inputs["model"], images, parameters, device)
        verified = verification.verify(found, fresh, rng)
        return reporting.report(found, verified, images, rows, parameters)
