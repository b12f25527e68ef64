"""Generative gradient leakage: the images are looked for among those that a generator can make."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.best import Best
from app.attacks.gradients.distances import KINDS, LAYERS, Distance
from app.attacks.gradients.evolution import CovarianceAdaptation
from app.attacks.gradients.generators import LEAST, Generator, GeneratorTraining, train_generator
from app.attacks.gradients.labels import recover
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.optimisers import Adam
from app.attacks.gradients.search import generator, solve
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.victims import Victims
from app.parameters import parameter

TINY = 1e-10


@dataclass(frozen=True)
class Ggl(GradientAttack):
    """Evolve latent vectors until a generator's images give the shared gradient, as the client would protect it."""

    title: ClassVar[str] = "Generative gradient leakage"
    source: ClassVar[str] = (
        "Li, Zhang, Liu and Liu, 2022, CVPR, eq. 4 with the Kullback-Leibler regulariser, CMA-ES, and eq. 5 for the "
        "adaptive attack. The generator is trained on the public records; populations of all victims are evaluated "
        "together; the best points are refined by Adam through the generator; of updates and several records too."
    )

    iterations: int = parameter(200, "Generations of the evolution (the paper: 500).", minimum=0, maximum=1_000_000)
    population: int = parameter(50, "Points of a generation.", minimum=4, maximum=10_000)
    refinements: int = parameter(200, "Steps of Adam afterwards.", minimum=0, maximum=1_000_000)
    candidates: int = parameter(4, "Points of each victim that are refined.", minimum=1, maximum=1000)
    rate: float = parameter(0.03, "Learning rate of Adam.", minimum=1e-6, maximum=10.0)
    divergence: float = parameter(
        1e-3, "Weight of the divergence of latent values from the standard normal.", minimum=0.0, maximum=100.0
    )  # fmt: skip
    distance: str = parameter("l2", "What is made small.", choices=tuple(KINDS))
    layers: str = parameter("equal", "Weights of the layers in it.", choices=tuple(LAYERS))
    training: int = parameter(1500, "Steps in which a generator is trained.", minimum=1, maximum=10_000_000)
    latent: int = parameter(64, "Values of the latent vector.", minimum=1, maximum=4096)
    width: int = parameter(16, "Channels of the generator's last block.", minimum=1, maximum=1024)

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One reconstruction for each observation, all of which must have public images of the same kind."""
        for one in observations:
            _check(one)
        found: dict[int, Reconstruction] = {}
        places: dict[int, list[int]] = {}
        for place, one in enumerate(observations):
            places.setdefault(id(one.public), []).append(place)
        for turn, group in enumerate(places.values()):
            early, late = (_part(progress, 2 * turn + half, 2 * len(places)) for half in (0, 1))
            own = [observations[place] for place in group]
            maker = self.generator(own[0], rng, device, early)
            found.update(zip(group, self.reconstruct(own, maker, rng, device, late), strict=True))
        return [found[place] for place in range(len(observations))]

    def generator(
        self, one: Observation, rng: np.random.Generator, device: str = "cpu", progress: Progress = silent
    ) -> Generator:
        """A generator of the images that are public; Unsuited when there are too few."""
        public = _check(one)
        scaled = ((public.detach() - one.low) / (one.high - one.low)).clamp(0.0, 1.0)
        how = GeneratorTraining(steps=self.training, latent=self.latent, width=self.width)
        return train_generator(scaled, how, rng, device, progress).generator

    def reconstruct(
        self,
        observations: Sequence[Observation],
        maker: Generator,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One reconstruction for each observation with a generator that is there already, in evaluation mode."""
        for one in observations:
            if tuple(one.input_shape) != maker.shape:
                raise Unsuited(f"the generator makes images of shape {maker.shape}, not {tuple(one.input_shape)}")

        def method(victims: Victims) -> list[Reconstruction]:
            labels = torch.stack([recover(one, rng) for one in victims.observations]).to(victims.mean.device)
            y = one_hot(labels, victims.first.classes).to(victims.mean)
            problem = _Latents(self, Matching(victims, Distance(self.distance, self.layers)), maker, y)
            points = self._evolve(problem, generator(rng, victims.mean.device), progress)
            self._refine(problem, points)
            return problem.best.reconstructions(victims)

        return solve(observations, device, method)

    def _evolve(self, problem: "_Latents", draw: torch.Generator, progress: Progress) -> Tensor:
        """(V, candidates, n): the centre of each victim's evolution, and its last generation's best points."""
        victims = problem.matching.victims
        start = victims.mean.new_zeros(len(victims), victims.first.records * problem.maker.latent)
        search = CovarianceAdaptation(start, 1.0, self.population, draw)
        points, losses = search.mean[:, None], problem.values(search.mean[:, None])
        for turn in range(self.iterations):
            points = search.ask()
            losses = problem.values(points)
            search.tell(losses)
            if turn % max(1, self.iterations // 50) == 0:
                problem.best.note()
                progress(turn / self.iterations)
        best = losses.nan_to_num(torch.inf, torch.inf).argsort(1)[:, : self.candidates - 1]
        kept = points.gather(1, best[:, :, None].expand(-1, -1, points.shape[2]))
        return torch.cat([search.mean[:, None], kept], 1)

    def _refine(self, problem: "_Latents", points: Tensor) -> None:
        """Follow the gradient through the generator from points (V, c, n)."""
        adam = Adam()
        for turn in range(self.refinements):
            points = points.detach().requires_grad_()
            with torch.enable_grad():
                losses = problem.losses(points)
                (slope,) = torch.autograd.grad(losses.sum(), points)
            points = points.detach() + adam.move(slope.nan_to_num(0.0, 0.0, 0.0), self.rate)
            if turn % max(1, self.refinements // 50) == 0:
                problem.best.note()
        problem.values(points.detach())


@dataclass
class _Latents:
    """The search problem of each victim: latent vectors of all its images to a loss."""

    attack: Ggl
    matching: Matching
    maker: Generator
    y: Tensor
    """(V, B, K)."""
    best: Best = field(init=False)

    def __post_init__(self) -> None:
        self.best = Best.of(self.matching.victims)

    def values(self, points: Tensor) -> Tensor:
        """(V, p): losses of points (V, p, n), without a graph."""
        with torch.no_grad():
            return self._losses(points, self.matching.values)

    def losses(self, points: Tensor) -> Tensor:
        """(V, p): differentiable losses of points (V, p, n)."""
        return self._losses(points, self.matching)

    def _losses(self, points: Tensor, distance: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        victims, count = self.matching.victims, points.shape[1]
        index = torch.arange(len(points), device=points.device).repeat_interleave(count)
        z = points.reshape(len(index), victims.first.records, self.maker.latent)
        low, high = victims.box
        made = self.maker(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        x, y = low + (high - low) * made, self.y[index]
        losses = distance(x, y, index) + self.attack.divergence * divergence(z)
        table = losses.reshape(len(points), count)
        leads = table.detach().nan_to_num(torch.inf, torch.inf).argmin(1) + count * torch.arange(len(points)).to(index)
        self.best.offer(index[leads], x[leads], y[leads], losses.detach()[leads])
        return table


def divergence(z: Tensor) -> Tensor:
    """(P,): the Kullback-Leibler divergence of the values of latent vectors (P, B, n) from the standard normal.

    -1/2 (1 + log s^2 - m^2 - s^2) with the mean m and the deviation s of each vector's values; mean over the B vectors.
    """
    mean, variance = z.mean(2), z.var(2, unbiased=False)
    return (-0.5 * (1.0 + (variance + TINY).log() - mean.square() - variance)).mean(1)


def _check(one: Observation) -> Tensor:
    """The public images; Unsuited when a generator cannot be trained on them."""
    if len(one.input_shape) != 3:
        raise Unsuited("the generator makes images (C, H, W), not table rows")
    if one.public is None or len(one.public) < LEAST:
        count = 0 if one.public is None else len(one.public)
        raise Unsuited(f"a generator is trained on at least {LEAST} public images, and there are {count}")
    return one.public


def _part(progress: Progress, turn: int, parts: int) -> Progress:
    """The progress of one part of all."""
    return lambda share: progress((turn + share) / parts)
