"""Data leakage in federated averaging: the client's local training is simulated, every epoch with images of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, silent
from app.attacks.gradients.distances import LAYERS, Distance
from app.attacks.gradients.labels import counts_from_update, spelled
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.optimisers import Adam
from app.attacks.gradients.priors import Outside, squared_variation
from app.attacks.gradients.search import CHECK, Best, generator, solve
from app.attacks.gradients.simulate import Step, one_hot, steps
from app.attacks.gradients.victims import Victims
from app.parameters import parameter

FEATURES = 96
"""Channels of the random convolution that tells epochs apart."""
RAMP = 0.5
"""The share of the iterations in which the weight of the distance halves."""


@dataclass(frozen=True)
class Dlf(GradientAttack):
    """Find images for every epoch of a local training, which together must look alike, and take their mean."""

    title: ClassVar[str] = "Data leakage in federated averaging"
    source: ClassVar[str] = (
        "Dimitrov, Balunovic, Konstantinov and Vechev, 2022, TMLR, sections 4.1 to 4.3: images of every epoch, the "
        "order-invariant prior l2_max_conv with one fixed convolution, label counts along the trajectory, matching and "
        "mean at the end. The squared distance is a share of the update's, and so are the weights of the priors."
    )

    iterations: int = parameter(400, "Steps of Adam.", minimum=1, maximum=1_000_000)
    rate: float = parameter(0.1, "Learning rate of Adam.", minimum=1e-6, maximum=100.0)
    decay: float = parameter(
        0.995, "Factor on the learning rate after every ten steps.", minimum=0.1, maximum=1.0
    )  # fmt: skip
    variation: float = parameter(
        1e-6, "Weight of the sum of squared differences of neighbours in an image.", minimum=0.0, maximum=100.0
    )
    outside: float = parameter(
        0.03, "Weight of the squares of what leaves the range of an image.", minimum=0.0, maximum=1000.0
    )
    reorder: float = parameter(0.2, "Weight of the order-invariant prior.", minimum=0.0, maximum=1000.0)
    layers: str = parameter("early", "Weights of the layers in the distance.", choices=tuple(LAYERS))

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One reconstruction for each observation; a gradient is an update of one epoch."""

        def method(victims: Victims) -> list[Reconstruction]:
            labels = torch.stack([_labels(one, rng) for one in victims.observations]).to(victims.mean.device)
            found = self._search(victims, labels, rng, progress)
            together = torch.stack([agreed(x, own) for x, own in zip(_epochs(victims, found.x), labels, strict=True)])
            found.x, found.y = together, one_hot(labels, victims.first.classes)
            return found.reconstructions(victims)

        return solve(observations, device, method)

    def _search(self, victims: Victims, labels: Tensor, rng: np.random.Generator, progress: Progress) -> Best:
        """The best images of all epochs (V, E n, ...) for labels (V, n), which stand in this order in every epoch."""
        first, like, draw = victims.first, victims.mean, generator(rng, victims.mean.device)
        epochs = victims.training.epochs if victims.training else 1
        matching, index = EpochMatching(victims, Distance("l2", self.layers)), torch.arange(len(victims)).to(labels)
        shape = (len(victims), epochs * first.records, *first.input_shape)
        x = torch.randn(shape, generator=draw, device=like.device, dtype=like.dtype)
        y = one_hot(labels.repeat(1, epochs), first.classes).to(like)
        best, adam = Best(x.clone(), y, like.new_full((len(victims),), torch.inf)), Adam()
        order = OrderPrior(victims, draw)
        priors = ((self.variation, squared_variation), (self.outside, Outside(victims)), (self.reorder, order))
        for turn in range(self.iterations + 1):
            x = x.detach().requires_grad_()
            with torch.enable_grad():
                apart = matching(x, y, index)
                beside = sum((weight * prior(x) for weight, prior in priors if weight), torch.zeros_like(apart))
                # The weight of the distance falls, so that losses are compared at one and the same weight.
                emphasis = 2.0 ** max(0.0, 1.0 - turn / max(1.0, RAMP * self.iterations))
                (slope,) = torch.autograd.grad((emphasis * apart + beside).sum(), x)
            best.offer(index, x, y, (apart + beside).detach())
            if turn % max(1, self.iterations // 50) == 0:
                best.note()
            x = x.detach() + adam.move(slope.nan_to_num(0.0, 0.0, 0.0), self.rate * self.decay ** (turn // 10))
            if turn % CHECK == 0:
                progress(turn / self.iterations)
        return best


@dataclass(frozen=True)
class EpochMatching(Matching):
    """A matching whose problems hold the records of all epochs, one epoch after the other."""

    def plan(self, records: int) -> list[Step]:
        """The client's steps, those of each epoch from the epoch's own records."""
        own, found = self.victims.first.records, list(steps(self._training, self.victims.first.records))
        turns = len(found) // (records // own)
        shifts = [own * (turn // turns) for turn in range(len(found))]
        return [
            Step(slice(shift + step.rows.start, shift + step.rows.stop), step.rate)
            for shift, step in zip(shifts, found, strict=True)
        ]


class OrderPrior:
    """How far epochs differ in what does not depend on the order of their records (Dimitrov et al., 2022, eq. 6).

    The records pass one fixed random convolution, of each channel and place the largest value of an epoch is kept, and
    the mean square of the differences of all pairs of epochs is taken. Table rows pass a random linear layer.
    """

    def __init__(self, victims: Victims, draw: torch.Generator) -> None:
        """Draw the convolution."""
        self.victims, shape, like = victims, victims.first.input_shape, victims.mean
        size = (FEATURES, shape[0], 3, 3) if len(shape) == 3 else (FEATURES, int(np.prod(shape)))
        bound = float(np.prod(size[1:])) ** -0.5
        self.weight = torch.empty(size, device=like.device, dtype=like.dtype).uniform_(-bound, bound, generator=draw)

    def __call__(self, x: Tensor) -> Tensor:
        """(P,) for x (P, E n, ...)."""
        grouped = _epochs(self.victims, x)
        problems, epochs, own = grouped.shape[:3]
        if epochs == 1:
            return x.new_zeros(len(x))
        flat = grouped.flatten(0, 2)
        if self.weight.ndim == 4:
            features = torch.nn.functional.conv2d(flat, self.weight, padding=1)
        else:
            features = flat.flatten(1) @ self.weight.T
        largest = features.reshape(problems, epochs, own, -1).amax(2)
        # The mean over pairs is twice the sum of the squared distances to the mean, over one less than the epochs.
        return 2.0 * (largest - largest.mean(1, keepdim=True)).square().mean(2).sum(1) / (epochs - 1)


def agreed(x: Tensor, labels: Tensor) -> Tensor:
    """(n, ...): the mean over epochs of images (E, n, ...), each epoch put in the order of the first.

    Of several images with one label, those with the least sum of squared distances are put together.
    """
    pages, far = x.detach().flatten(2).double().cpu(), 1e12
    other = (labels[:, None] != labels).cpu()
    total = x[0].clone()
    for epoch in range(1, len(x)):
        apart = torch.cdist(pages[0], pages[epoch]).square().masked_fill(other, far)
        _, order = linear_sum_assignment(apart.nan_to_num(far).numpy())
        total += x[epoch, torch.as_tensor(order, device=x.device)]
    return total / len(x)


def _epochs(victims: Victims, x: Tensor) -> Tensor:
    """(P, E, n, ...) for x (P, E n, ...)."""
    return x.unflatten(1, (-1, victims.first.records))


def _labels(one: Observation, rng: np.random.Generator) -> Tensor:
    return one.labels.clone() if one.labels is not None else spelled(counts_from_update(one, rng))
