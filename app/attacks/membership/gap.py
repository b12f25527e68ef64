"""The gap attack: what is classified correctly is called a member."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.attacks.membership.base import MembershipAttack, Progress, Records, Target, silent


@dataclass(frozen=True)
class Gap(MembershipAttack):
    """The score is 1 for a record that is classified correctly, else 0."""

    title: ClassVar[str] = "Gap"
    source: ClassVar[str] = "Yeom, Giacomelli, Fredrikson and Jha, 2018, IEEE CSF, adversary 1"

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) values 0 or 1; a tie of c classes is worth 1/c."""
        return signals.is_right(target.logits(candidates.x), candidates.y)
