"""A closer look at a few samples: what the attack made of them at each size, and how it came there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.attacks.evasion.base import FixedBudget, MinimumDistance, Progress, part, predictions
from app.attacks.evasion.curve import TOLERANCE, Evaluation
from app.attacks.evasion.traces import Trace

if TYPE_CHECKING:
    from app.experiments.security_evaluation.attacking import Question

VALUES = 1 << 24
"""The most numbers in all inspected images together: 64 MB."""
POINTS = 200
"""The most iterations of a path that are kept, evenly spaced, with the first and the last."""
TOP = 10
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Inspection:
    """S samples at E sizes; the first size is 0, where nothing is changed."""

    images: Tensor
    """(S, E, C, H, W): an error if one is known within the size, else the strongest attempt, else the sample."""
    classes: NDArray[np.int64]
    """(S, E, K'): the most probable classes, the most probable one first."""
    confidences: Floats
    """(S, E, K'): their probabilities."""
    loss: Floats
    """(S, E, T): what the attack made large, by iteration; NaN where there is no path."""
    path: Floats
    """(S, E, T): the distance from the original, by iteration."""
    path_classes: NDArray[np.int64]
    """(S, E, T, K')"""
    path_scores: Floats
    """(S, E, T, K'): the highest logits, by iteration."""
    distance: NDArray[np.float64]
    """(S,): the closest error that these runs have found; infinite where there is none."""
    closest: Tensor
    """(S, C, H, W): that error, or the sample."""


def most(question: Question) -> int:
    """How many samples can be inspected within the bound on memory, at least one."""
    return max(1, VALUES // (question.x[0].numel() * len(question.sizes)))


def recall(question: Question, known: Evaluation) -> Inspection:
    """The samples as the main run has left them, without paths; for ensembles, whose attacks each have their own."""
    return _gathered(question, known, [_untouched(question)] * len(question.sizes))


def inspect(
    attack: FixedBudget | MinimumDistance,
    question: Question,
    known: Evaluation,
    rng: np.random.Generator,
    progress: Progress,
) -> Inspection:
    """Attack all samples of `question` again at every size, and record how; errors that are `known` are kept."""
    attempts = [_untouched(question)]
    for turn, epsilon in enumerate(question.sizes[1:], 1):
        told = part(progress, (turn - 1) / len(question.sizes), turn / len(question.sizes))
        # A search for the closest error does not depend on the size.
        again = isinstance(attack, FixedBudget) or turn == 1
        attempts.append(_attempt(attack, question, float(epsilon), rng, told) if again else attempts[-1])
    return _gathered(question, known, attempts)


def _gathered(question: Question, known: Evaluation, attempts: list[_Attempt]) -> Inspection:
    """The worst case of what is known and of the attempts, one for each size."""
    distance, closest = known.curve.distance.copy(), known.adversarial.clone()
    for attempt in attempts[1:]:
        better = np.flatnonzero(attempt.is_error & (attempt.length < distance))
        distance[better] = attempt.length[better]
        closest[better] = attempt.x[better]
    shown = [
        _shown(attempt, question.x, closest, distance, float(epsilon))
        for attempt, epsilon in zip(attempts, question.sizes, strict=True)
    ]
    return _inspection(question, torch.stack(shown, dim=1), [each.trace for each in attempts], distance, closest)


@dataclass(frozen=True)
class _Attempt:
    """What one run has made of the samples."""

    x: Tensor
    length: NDArray[np.float64]
    """(S,): how far it went; at most the size that it was allowed."""
    is_error: NDArray[np.bool_]
    trace: Trace


def _untouched(question: Question) -> _Attempt:
    count = len(question.x)
    return _Attempt(question.x, np.zeros(count), np.zeros(count, np.bool_), Trace(count))


def _attempt(
    attack: FixedBudget | MinimumDistance,
    question: Question,
    epsilon: float,
    rng: np.random.Generator,
    progress: Progress,
) -> _Attempt:
    trace = Trace(len(question.x))
    model, x, y, norm, box, batch = (getattr(question, name) for name in ("model", "x", "y", "norm", "box", "batch"))
    if isinstance(attack, MinimumDistance):
        found, longest = attack.minimise(model, x, y, norm, box, rng, progress, trace, batch), np.inf
    else:
        found, longest = attack.perturb(model, x, y, epsilon, norm, box, rng, progress, trace, batch), epsilon
    # The sum of an input and its perturbation is rounded; the attack has put the perturbation itself into the ball.
    length = norm.distance(found.double() - x.double()).cpu().numpy().clip(max=longest)
    is_error = (predictions(model, found, batch) != y).cpu().numpy()
    return _Attempt(found, length, is_error, trace)


def _shown(attempt: _Attempt, x: Tensor, closest: Tensor, distance: NDArray[np.float64], epsilon: float) -> Tensor:
    """What stands for the samples at one size: this run's image, unless only another run has found an error there."""
    reach = epsilon * (1.0 + TOLERANCE)
    is_inside = attempt.length <= reach
    is_known = (distance <= reach) & ~(attempt.is_error & is_inside)
    kept, known = (
        torch.from_numpy(mask).to(x.device).reshape(-1, *[1] * (x.ndim - 1)) for mask in (is_inside, is_known)
    )
    return torch.where(known, closest, torch.where(kept, attempt.x, x))


def _inspection(
    question: Question, images: Tensor, traces: list[Trace], distance: NDArray[np.float64], closest: Tensor
) -> Inspection:
    samples, sizes = images.shape[:2]
    with torch.no_grad():
        flat = images.flatten(0, 1)
        parts = [question.model(chunk).softmax(1) for chunk in flat.split(question.batch) if len(chunk)]
    probabilities = torch.cat(parts) if parts else torch.empty(0, question.model.classes)
    best = probabilities.topk(min(TOP, probabilities.shape[1]), dim=1)
    shape = (samples, sizes, best.values.shape[1])
    return Inspection(
        images.cpu(),
        best.indices.cpu().numpy().reshape(shape).astype(np.int64),
        best.values.cpu().numpy().reshape(shape).astype(np.float32),
        _paths([trace.loss for trace in traces]),
        _paths([trace.distance for trace in traces]),
        np.nan_to_num(_paths([_missing(trace.classes) for trace in traces]), nan=-1).astype(np.int64),
        _paths([trace.scores for trace in traces]),
        distance,
        closest,
    )


def _missing(classes: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(classes < 0, np.nan, classes)


def _paths(found: list[NDArray]) -> Floats:
    """(S, E, T, ...): one path for each size, thinned out and filled up with NaN to one length."""
    thin = [path[:, _kept(path.shape[1])] for path in found]
    length = max((path.shape[1] for path in thin), default=0)
    depth = max((path.shape[2:] for path in thin), default=())
    whole = np.full((len(found[0]), len(found), length, *depth), np.nan, np.float32)
    for place, path in enumerate(thin):
        if path.shape[1]:
            whole[:, place, : path.shape[1]] = path
    return whole


def _kept(length: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, max(0, length - 1), min(length, POINTS)).round().astype(np.int64))
