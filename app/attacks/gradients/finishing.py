"""The exact end of a search: images of which there are more equations than pixels, by least squares."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.attacks.gradients.aims import Aim, head_call, of_features, positive
from app.attacks.gradients.base import Observation
from app.attacks.gradients.drift import steady, straight
from app.attacks.gradients.heads import LinearHead, linear_head
from app.attacks.gradients.least_squares import levenberg_marquardt
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.scaling import as_gradient, is_exact
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.spear import Recovered
from app.attacks.gradients.victims import stack

STEPS, CORRECTIONS = 30, 4
"""Steps of Levenberg and Marquardt, and turns in which an update becomes a better gradient, at most."""
EXACT = 1e-12
"""The misfit of an image that is found as exactly as single precision allows."""
STALLED = 0.9
"""A step of least squares that leaves this share of the misfit is the last."""
CLOSE = 1e-3
"""What features may miss of the gradient that an update was turned into."""
WITHOUT = (0.3, 0.5, 0.2)
"""Shares of units that are left out in turns: few tell twins apart, and many are safer."""
TURNS, TWINS = 8, 0.03
"""How often features and their pulls follow from each other; the share of a pull below which it moves nothing."""


@dataclass(frozen=True)
class Finished:
    """Images at the end of least squares."""

    inputs: Tensor
    """(n, *input_shape)."""
    features: Recovered
    """What they were made to have."""
    misfit: float
    """The sum of squares that is left of it."""


def finished(
    observation: Observation,
    inputs: Tensor,
    labels: Tensor,
    device: str = "cpu",
    steps: int = STEPS,
    corrections: int = CORRECTIONS,
) -> Finished | None:
    """The images behind exact features, from images (n, *input_shape) that are near.

    Pulls at the features follow from images and labels (n,), features from pulls and the gradient, and from these
    the images; an update of small steps becomes a better gradient with every turn. None where the images are not
    near enough, or features are fewer than pixels. Raises Unsuited for a model without a suitable head.
    """
    best: Finished | None = None
    for turn in range(corrections):
        seen = corrected(observation, inputs, labels, device)
        if seen is None:
            break
        head = linear_head(seen, seen.shared, device)
        found = _settled(seen, head, labels, inputs, WITHOUT[turn % len(WITHOUT)])
        aim = of_features(seen, positive(found))
        if is_determined(aim, found, inputs):
            moved, trace = refined(seen, aim, inputs, steps)
            if best is None or trace[-1] < best.misfit:
                inputs, best = moved, Finished(moved, found, trace[-1])
        if best is not None and best.misfit <= EXACT * len(inputs):
            break
    return best


def is_determined(aim: Aim, found: Recovered, inputs: Tensor) -> bool:
    """Whether an aim has more equations, and certain ones, than the images have pixels."""
    return found.certified and aim.equations > inputs.numel()


def refined(observation: Observation, aim: Aim, inputs: Tensor, steps: int) -> tuple[Tensor, tuple[float, ...]]:
    """Better images from good ones, and the misfit before the first and after every step."""
    trace = [float(aim.misfit(inputs))]
    for moved in levenberg_marquardt(aim.residuals, inputs, (observation.low, observation.high), steps):
        inputs = moved
        trace.append(float(aim.misfit(inputs)))
        if trace[-1] <= EXACT * len(inputs) or trace[-1] > STALLED * trace[-2]:
            break
    return inputs, tuple(trace)


def corrected(observation: Observation, inputs: Tensor, labels: Tensor, device: str) -> Observation | None:
    """The gradient that an update of several small steps stands for, right if these records are (see `drift`).

    A gradient, or an update of one step, needs no correction. None where steps are too long for one.
    """
    if is_exact(observation):
        return replace(observation, shared=as_gradient(observation, device), training=None)
    victims = stack([observation], device)
    matching = Matching(victims)
    guess = victims.inside(inputs)[None], one_hot(labels, observation.classes).to(inputs)[None]
    if not steady(matching, guess):
        return None
    target = straight(matching, guess).victims.target
    return replace(observation, shared={name: value[0] for name, value in target.items()}, training=None)


def _settled(observation: Observation, head: LinearHead, labels: Tensor, inputs: Tensor, without: float) -> Recovered:
    """Features of images that are near, as the gradient has them.

    Some units of the first layer switch between what is near and what is right, or while the client trains. A share
    `without` of the units, those that are nearest to it, are left out. Twins, which the others hardly tell apart, stay
    where they are (Tikhonov's regularisation).
    """
    layer, features = head.layers[0], head_call(observation, inputs)[1].inputs.double()
    margin = (features @ layer.weight.T + layer.bias).abs().amin(0)
    rows = margin >= margin.quantile(without)
    missed = torch.inf
    for _ in range(TURNS):
        pull = head.pulls(features, labels)[0][rows]
        gap = layer.weight_gradient[rows] - pull @ features
        missed = float(gap.norm() / layer.weight_gradient[rows].norm().clamp_min(1e-300))
        normal = pull.T @ pull
        normal.diagonal().add_(TWINS**2 * normal.diagonal().max().clamp_min(1e-300))
        features = (features + torch.linalg.solve(normal, pull.T @ gap)).clamp_min(0)
    # Pulls come from these very features, so that the units agree by construction: what counts is the gradient.
    agreement = torch.ones(len(features), device=features.device)
    return Recovered(features, labels, agreement, missed, exact=True, tolerance=CLOSE)
