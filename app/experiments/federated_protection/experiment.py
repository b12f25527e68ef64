"""The experiment itself: draw, train, protect, attack, report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import InvalidUpload, Reason
from app.experiments.base import Experiment, Progress, Report
from app.experiments.federated_protection import CARD
from app.experiments.federated_protection.choices import TITLES
from app.experiments.federated_protection.layout import LAYOUT
from app.experiments.federated_protection.parameters import Parameters
from app.record_sets import RecordSet

SMALLEST = 4
"""Pixels along the sides of an image that a convolutional network can take."""


class FederatedProtection(Experiment):
    """A federation with and without a protection, and every attack on both."""

    card = CARD
    Parameters = Parameters
    layout = LAYOUT

    def run(
        self,
        inputs: Mapping[str, Path],
        parameters: Any,
        rng: np.random.Generator,
        device: str,
        progress: Progress,
    ) -> Report:
        """Repeat the study for every seed. Raises InvalidUpload when the data do not carry it."""
        # The class is imported where forms are made of its parameters; torch is wanted only here.
        from app.experiments.federated_protection import comparing, reporting, samples
        from app.experiments.federated_protection.federation import Federation

        chosen = parameters.effective
        records = samples.read(inputs)
        _check(records, chosen)
        pairs = []
        for number in range(chosen.seeds):
            sample, seed = samples.draw(records, chosen, rng), int(rng.integers(2**62))
            federation = Federation(records, sample, chosen, seed, device)
            pairs.append(comparing.compare(federation, _part(progress, number, chosen.seeds)))
        return reporting.report(pairs, TITLES, records, chosen)


def _part(progress: Progress, done: int, parts: int) -> Progress:
    """The progress of one of the parts of the work."""
    return lambda share: progress((done + share) / parts)


def _check(records: RecordSet, chosen: Parameters) -> None:
    """Raises InvalidUpload when the network cannot take the records."""
    if records.is_text:
        rule, found, mend = "The study is of tables and images.", "sentences", "Choose a table or images."
    elif chosen.model == "cnn" and (len(records.shape) != 3 or min(records.shape[1:]) < SMALLEST):
        rule = f"A convolutional network takes images of at least {SMALLEST} x {SMALLEST}."
        found, mend = f"records of the shape {records.shape}", "Choose a perceptron."
    else:
        return
    raise InvalidUpload([Reason(rule, found, mend)])
