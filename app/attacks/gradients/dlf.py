"""Data leakage in federated averaging: the client's local training is simulated without knowing the records' order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, LocalTraining, Observation, Progress, Reconstruction, silent
from app.attacks.gradients.best import Best
from app.attacks.gradients.distances import LAYERS, Distance
from app.attacks.gradients.ig import InvertingGradients
from app.attacks.gradients.labels import between, counts_from_update, spelled
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.optimisers import Adam
from app.attacks.gradients.priors import Outside, squared_variation
from app.attacks.gradients.scaling import as_gradient, total_rate
from app.attacks.gradients.search import CHECK, generator, solve
from app.attacks.gradients.simulate import Step, one_hot, steps
from app.attacks.gradients.victims import Victims, stack
from app.parameters import parameter

FEATURES = 96
"""Channels of the random convolution that tells epochs apart."""
RAMP = 0.5
"""The share of the iterations in which the weight of the distance halves."""
FINE = 0.3
"""The learning rate after a start that is near already, as a share of the usual one."""


@dataclass(frozen=True)
class Dlf(GradientAttack):
    """Find images whose local training, in whatever order they are taken, gives the update."""

    title: ClassVar[str] = "Data leakage in federated averaging"
    source: ClassVar[str] = (
        "Dimitrov, Balunovic, Konstantinov and Vechev, 2022, TMLR, sections 4.1 to 4.3: label counts along the "
        "trajectory and a simulated training; as published (way: epochs), images of every epoch, the order-invariant "
        "prior l2_max_conv with one fixed convolution, matching and mean at the end, squared distance and priors being "
        "shares of the update's. Variant of the house (way: smooth): a start from one gradient half-way between the "
        "weights sent and sent back (Zhu, Yao and Blaschko, 2023, ICML, section 3, the half being fixed), then a "
        "training of few steps over all records, which have no order; direction and total variation as in inverting "
        "gradients."
    )

    way: str = parameter(
        "smooth",
        "Training is simulated in few steps over all records, or step by step with images of every epoch as published.",
        choices=("smooth", "epochs"),
    )
    iterations: int = parameter(400, "Steps of Adam.", minimum=1, maximum=1_000_000)
    rate: float = parameter(0.1, "Learning rate of Adam.", minimum=1e-6, maximum=100.0)
    straight: int = parameter(
        300, "Smooth: steps of the start from a single gradient; 0 begins at random.", minimum=0, maximum=1_000_000
    )
    path: int = parameter(5, "Smooth: simulated steps at most.", minimum=1, maximum=100)
    smoothness: float = parameter(0.02, "Smooth: weight of the total variation.", minimum=0.0, maximum=100.0)
    decay: float = parameter(
        0.995, "Epochs: factor on the learning rate after every ten steps.", minimum=0.1, maximum=1.0
    )
    variation: float = parameter(
        1e-6, "Epochs: weight of the sum of squared differences of neighbours.", minimum=0.0, maximum=100.0
    )
    outside: float = parameter(
        0.03, "Epochs: weight of the squares of what leaves the range of an image.", minimum=0.0, maximum=1000.0
    )
    reorder: float = parameter(0.2, "Epochs: weight of the order-invariant prior.", minimum=0.0, maximum=1000.0)
    layers: str = parameter("early", "Epochs: weights of the layers in the distance.", choices=tuple(LAYERS))

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
            if self.way == "smooth":
                return self._smooth(victims, labels, rng, progress).reconstructions(victims)
            found = self._search(victims, labels, rng, progress)
            together = torch.stack([agreed(x, own) for x, own in zip(_epochs(victims, found.x), labels, strict=True)])
            found.x, found.y = together, one_hot(labels, victims.first.classes)
            return found.reconstructions(victims)

        return solve(observations, device, method)

    def _smooth(self, victims: Victims, labels: Tensor, rng: np.random.Generator, progress: Progress) -> Best:
        """The best images for labels (V, n), first from one gradient and then along the path."""
        device = str(victims.mean.device)
        told = [replace(one, labels=own) for one, own in zip(victims.observations, labels, strict=True)]
        ig = InvertingGradients(iterations=self.iterations, rate=self.rate, variation=self.smoothness, corrections=0)
        if victims.training is None:
            return ig.search(stack(told, device), rng).run(progress=progress).result()
        first = None
        if self.straight:
            half = stack([halfway(one) for one in told], device)
            first = replace(ig, iterations=self.straight).search(half, rng).run().result()
            ig = replace(ig, rate=FINE * self.rate)
        search = ig.search(stack([smoothed(one, self.path) for one in told], device), rng)
        if first is not None:
            search = replace(search, x=first.x.clone())
        return search.run(progress=progress).result()

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


def halfway(one: Observation) -> Observation:
    """The mean gradient of an update, as one at the weights half-way between those sent and those sent back."""
    there = between(one, 0.5)
    return replace(there, shared=as_gradient(one), training=None, transform=None)


def smoothed(one: Observation, most: int) -> Observation:
    """The update as one of at most so many steps over all records, which go as far together as the client's."""
    training = one.training or LocalTraining()
    count = min(training.steps(one.records), most)
    rate = total_rate(training, one.records) / count
    return replace(one, training=LocalTraining(count, 0, (rate,), 0.0, training.weight_decay))


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
