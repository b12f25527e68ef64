"""How well an attack tells members from others: the area, and the shares of members found at few false alarms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.roc import Share, clopper_pearson, roc

RATES = (0.1, 0.01, 0.001)
"""Allowed shares of false alarms."""


@dataclass(frozen=True)
class Told:
    """What one attack learnt of one outcome."""

    auc: float
    tpr: tuple[Share, ...] = ()
    """For each of the rates, with the Clopper-Pearson interval."""


def told(scores: NDArray[np.floating], is_member: NDArray[np.bool_]) -> Told:
    """What these scores tell."""
    curve = roc(scores, is_member)
    return Told(metrics.auc(scores, is_member), tuple(curve.tpr_at(rate) for rate in RATES))


def together(each: Sequence[Told], members: NDArray[np.int64]) -> Told:
    """The mean area of several models, and their shares over all `members` of each, every model by its own alarms."""
    shares = np.array([[share.value for share in one.tpr] for one in each])
    hits, count = np.rint(shares * members[:, None]).sum(0), members.sum()
    low, high = clopper_pearson(hits, count)
    tpr = tuple(Share(*map(float, three)) for three in zip(hits / count, low, high, strict=True))
    return Told(float(np.mean([one.auc for one in each])), tpr)
