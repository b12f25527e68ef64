"""An update matched at the price of a gradient, for steps that move the weights a little only.

All steps of such a client follow nearly the gradient g at the weights that were sent. It costs a fraction of the
update u, which is all steps and their graph, and wide layers are cheap for it alone. So g is matched, with a target
that is mended in turns: at a guess x' it becomes g(x') + (u - u(x')) / r for the shared update u and the sum of rates
r. It is met by x' just if u(x') is u; no derivative of u is needed, and each turn shrinks what is amiss by as much as
the slopes of u / r and g differ (defect correction: Stetter, 1978, Numerische Mathematik 29).
"""

from dataclasses import replace

import torch
from torch import Tensor

from app.attacks.gradients.base import LocalTraining
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.matching import Matching, chunk
from app.attacks.gradients.scaling import total_rate
from app.attacks.gradients.simulate import Weights
from app.attacks.gradients.victims import Victims

STEADY = 0.02
"""The share of a gradient's squared length by which the mean of the steps may miss it."""


def steady(matching: Matching, guess: tuple[Tensor, Tensor]) -> bool:
    """Whether this suits the update of every victim, judged at a guess (see `straight`).

    Not where a protection is matched with the update: it was not applied to a gradient.
    """
    if matching.victims.training is None or matching.victims.first.transform is not None:
        return False
    rough, right = (straight(matching, at).victims.target for at in (None, guess))
    return bool((Distance("l2", "equal")(rough, right) <= STEADY).all())


def straight(matching: Matching, guess: tuple[Tensor, Tensor] | None = None) -> Matching:
    """The matching of gradients in the place of that of updates, right at the guess or, without one, roughly.

    `guess`: inputs (V, B, ...) in model space and label probabilities (V, B, K).
    """
    victims = matching.victims
    training = victims.training or LocalTraining()
    rate = total_rate(training, victims.first.records)
    if guess is None:
        target = {
            name: moved / rate - training.weight_decay * victims.weights[name] for name, moved in victims.target.items()
        }
    else:
        target = _corrected(victims, guess, training, rate, matching.memory)
    # Every correction would be compiled anew.
    return replace(matching, victims=replace(victims, target=target, training=None), compiled=False)


def _corrected(
    victims: Victims, guess: tuple[Tensor, Tensor], training: LocalTraining, rate: float, memory: int
) -> Weights:
    found: list[Weights] = []
    with torch.no_grad():
        for index in torch.arange(len(victims), device=victims.mean.device).split(chunk(victims, memory)):
            weights, buffers, shared = victims.take(index)
            x, y = (part[index] for part in guess)
            slope = victims.client.gradients(weights, buffers, x, y)
            moved = victims.client.update(weights, buffers, x, y, training)
            found.append({name: slope[name] + (shared[name] - moved[name]) / rate for name in shared})
    return {name: torch.cat([each[name] for each in found]) for name in victims.target}
