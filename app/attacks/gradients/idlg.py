"""Improved deep leakage from gradients: the label is read, not searched for."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.dlg import Dlg
from app.attacks.gradients.labels import recover
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.victims import Victims


@dataclass(frozen=True)
class Idlg(Dlg):
    """Read the labels from the last layer, then search for the inputs only."""

    title: ClassVar[str] = "Improved deep leakage from gradients"
    source: ClassVar[str] = (
        "Zhao, Mopuri and Bilen, 2020, arXiv 2001.02610, eqs. 6 and 7. One record as published; of several, labels are "
        "counted by their push on the last bias. The search is that of DLG here."
    )

    def known(self, victims: Victims, rng: np.random.Generator) -> Tensor:
        """(V, B, K): the labels that were read."""
        labels = torch.stack([recover(one, rng) for one in victims.observations])
        return one_hot(labels.to(victims.mean.device), victims.first.classes).to(victims.mean)
