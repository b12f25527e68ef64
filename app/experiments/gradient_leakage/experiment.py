"""The experiment itself: gather records, let clients share, attack, report."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.experiments.base import Experiment, Progress, Report, Watch
from app.experiments.gradient_leakage import CARD
from app.experiments.gradient_leakage.parameters import LAYOUT, Parameters


class GradientLeakage(Experiment):
    """Private batches rebuilt from what clients share."""

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
        """Attack the chosen clients. Raises InvalidUpload when files, model and attack do not fit together."""
        # The class is imported where forms are made of its parameters; torch is wanted only here.
        from app.experiments.gradient_leakage import federation, material, reporting

        chosen = parameters.settled()
        values = chosen.values()
        settings = [chosen.at(value) for value in values] or [chosen]
        needed = max(each.victims * each.records for each in settings)
        if chosen.mode == "federated":
            found = material.gather(inputs, chosen.data, chosen.clients * chosen.records, rng)
            return reporting.report(federation.run(found, chosen, rng, device, progress), chosen, found)
        found = material.gather(inputs, chosen.data, needed, rng)
        return _along(found, settings, values, (int(rng.integers(2**62)), device), progress)


def _along(
    found: Any, settings: list[Parameters], values: tuple[float, ...], how: tuple[int, str], progress: Watch
) -> Report:
    """The report of the first point, and the decay curve over all of them; the same seed at every point."""
    from app.experiments.gradient_leakage import reporting, study

    outcomes, points = [], []
    for turn, chosen in enumerate(settings):
        part = _part(progress, turn, len(settings))
        outcomes.append(study.run(found, chosen, np.random.default_rng(how[0]), how[1], part))
        points.append(reporting.measured(outcomes[-1:], found))
        if values:
            progress.show(reporting.decay(chosen.axis, values[: len(points)], points)[0])
    report = reporting.report(outcomes[:1], settings[0], found)
    if not values:
        return report
    figure, table = reporting.decay(settings[0].axis, values, points)
    return dataclasses.replace(report, figures=(figure, *report.figures), tables=(table, *report.tables))


def _part(progress: Watch, turn: int, turns: int) -> Progress:
    return lambda share: progress((turn + share) / turns)
