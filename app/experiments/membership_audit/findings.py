"""What an audit found, before it is put into words."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership.text import TextAttack
from app.experiments.membership_audit.evidence import Candidates
from app.experiments.membership_audit.outputs import Verdict
from app.experiments.membership_audit.verdicts import Calibration


@dataclass(frozen=True)
class Findings:
    """Scores, counts and verdicts."""

    candidates: Candidates
    attacks: Mapping[str, TextAttack]
    scores: Mapping[str, NDArray[np.float64]]
    """Attack -> the score of every candidate."""
    losses: NDArray[np.float64]
    calibration: Calibration
    accused_members: int
    tested: int
    """Others that the verdicts are tested on."""
    accused_others: int
    """Those of them that are accused."""
    verdicts: tuple[Verdict, ...]
    """On the sentences that were asked for."""

    def known(self, attack: str) -> NDArray[np.float64]:
        """The scores of the sentences of the split: members first, then the others."""
        return self.scores[attack][: self.candidates.known]
