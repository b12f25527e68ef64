"""The experiment itself: read, ask, attack, calibrate, report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.experiments.base import Experiment, Report, Watch
from app.experiments.membership_audit import CARD
from app.experiments.membership_audit.parameters import LAYOUT, Parameters


class MembershipAudit(Experiment):
    """Who was in the training text of a language model."""

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
        """Audit a model. Raises InvalidUpload when checkpoint and corpus do not belong together or are too small."""
        # The class is imported where forms are made of its parameters; torch is wanted only here.
        from app.experiments.membership_audit import auditing
        from app.language import checkpoints, corpora

        checkpoint = checkpoints.read(inputs["checkpoint"], device)
        return auditing.run(checkpoint, corpora.read(inputs["corpus"]), parameters, rng, device, progress)
