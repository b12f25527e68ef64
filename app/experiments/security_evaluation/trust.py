"""Checks whether the numbers can be trusted: the model may hide its gradient instead of being robust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.attacks.evasion.base import Progress
from app.attacks.evasion.honesty import Fault, Flag, Honesty

if TYPE_CHECKING:
    from app.experiments.security_evaluation.attacking import Question

SAMPLES, FEWEST = 100, 5
OPERATIONS = 10**13
"""Multiplications and additions that the checks may take, some minutes of one core."""
RUNS = 1000
"""About how often the checks ask the model about each sample."""


def flags(question: Question, rng: np.random.Generator, progress: Progress) -> tuple[Flag, ...]:
    """The reasons not to trust the curve, from a look at some of the samples at the size in the middle of the list."""
    model = question.model.model
    found = []
    if model.ends_with_softmax:
        found.append(
            Flag(
                Fault.PROBABILITIES,
                "The model ends with a softmax, which hides its gradient.",
                "Its last operator is a softmax.",
                "Nothing is to be done: the attacks saw the logits that go into it.",
            )
        )
    if model.is_quantised:
        found.append(
            Flag(
                Fault.QUANTISED,
                "The model is quantised, so that its gradients are estimates.",
                "It has operators that round to whole numbers.",
                "Compare with the Square attack, or evaluate the model before its quantisation.",
            )
        )
    few = question.first(_count(question))
    epsilon = float(question.sizes[len(question.sizes) // 2]) or 0.05 * question.box.width
    seen = Honesty().examine(few.model, few.x, few.y, epsilon, few.norm, few.box, rng, progress)
    return (*found, *(flag for flag in seen if flag.fault not in {known.fault for known in found}))


def _count(question: Question) -> int:
    affordable = OPERATIONS // (RUNS * max(1, question.model.model.row_operations))
    return min(SAMPLES, question.batch, max(FEWEST, affordable))
