"""Attackers of the matrix in `gradient_defences`: one who does not know of a protection, and one who does.

The aware one maximises the probability of what was shared, under the protection, times that of the records under a
normal prior (Balunović, Dimitrov, Staab and Vechev, 2022, ICLR, eq. 3).
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import LocalTraining, Observation
from app.attacks.gradients.best import Best
from app.attacks.gradients.distances import Distance
from app.attacks.gradients.idlg import Idlg
from app.attacks.gradients.ig import InvertingGradients
from app.attacks.gradients.labelling import labelled
from app.attacks.gradients.labels import shrinkage
from app.attacks.gradients.matching import Matching
from app.attacks.gradients.quasi_newton import QuasiNewton
from app.attacks.gradients.search import SignedAdam, generator
from app.attacks.gradients.simulate import one_hot
from app.attacks.gradients.spear import Spear
from app.attacks.gradients.victims import Victims, stack
from app.defences.gradients.clipping import Clipping
from app.defences.gradients.rules import LocalSteps
from benchmarks.gradient_protections import Chance, Protection, Weights

SWAPPED = 8
"""Records of which all pairs of labels are tried."""


class Prior:
    """Minus the logarithm of a normal density that has the mean and covariance of public records."""

    def __init__(self, public: Tensor) -> None:
        flat = public.flatten(1).double()
        self.mean = flat.mean(0)
        spread = torch.cov(flat.T) + 1e-3 * torch.eye(flat.shape[1], dtype=flat.dtype)
        self.inverse = torch.linalg.inv(spread)

    def __call__(self, x: Tensor) -> Tensor:
        """(P,) for x (P, B, ...)."""
        return self.each(x).sum(1)

    def each(self, x: Tensor) -> Tensor:
        """(P, B)."""
        apart = x.flatten(2).double() - self.mean
        return (0.5 * (apart @ self.inverse * apart).sum(2)).to(x.dtype)

    def upright(self, x: Tensor) -> Tensor:
        """Every image in the most probable of its quarter turns, which copies turned by quarters do not tell."""
        turns = torch.stack([torch.rot90(x, quarter, (3, 4)) for quarter in range(4)])
        best = torch.stack([self.each(turn) for turn in turns]).argmin(0)
        rows, columns = torch.meshgrid(*(torch.arange(size) for size in best.shape), indexing="ij")
        return turns[best, rows, columns]


@dataclass(frozen=True)
class Aware(Matching):
    """Minus the logarithm of the probability of records, as one knows it who knows the protection; over all numbers."""

    expand: Callable[[Tensor], Tensor] | None = None
    prior: Prior | None = None

    def evaluate(self, x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            shown, rows = leaf if self.expand is None else self.expand(leaf), y
            if self.expand is not None:
                rows = y.repeat(1, shown.shape[1] // y.shape[1], 1)
            apart, by_shown, by_y = super().evaluate(shown.detach(), rows, index)
            beside = leaf.new_zeros(len(leaf)) if self.prior is None else self.prior(leaf)
            (by_x,) = torch.autograd.grad((shown * by_shown).sum() + beside.sum(), leaf)
        count = sum(part[0].numel() for part in self.victims.target.values())
        by_y = by_y.unflatten(1, (-1, y.shape[1])).sum(1)
        return (apart + beside.detach()) / count, by_x / count, by_y / count


@dataclass(frozen=True)
class Likelihood:
    """A protection's likelihood in the place of a distance."""

    chance: Chance
    one: Observation
    kind: str = "likelihood"

    def __call__(self, found: Weights, target: Weights) -> Tensor:
        return self.chance(found, target, self.one)


def informed_matching(victims: Victims, protection: Protection, prior: Prior) -> Aware:
    likelihood = Likelihood(protection.likelihood, victims.first)
    return Aware(victims, likelihood, expand=protection.expand, prior=prior)  # type: ignore[arg-type]


def searched(attack: str, victims: Victims, matching: Matching, turns: int, rng: np.random.Generator) -> Best:
    """Inverting gradients or iDLG with this objective."""
    if attack == "ig":
        search = InvertingGradients(iterations=turns).search(victims, rng)
        if isinstance(matching, Aware):
            # The prior of the aware attacker takes the place of the total variation.
            search = dataclasses.replace(search, matching=matching, priors=(), corrections=0)
        return search.run().result()
    way = Idlg(evaluations=3 * turns // 2, restarts=0)
    quasi = QuasiNewton(
        way.evaluations, way.history, way.restarts, way.trial, way.hopeless, way.solved, way.spread, warm=100
    )
    return quasi(matching, way.known(victims, rng), generator(rng, "cpu"))


def plain(attack: str, seen: list[Observation], turns: int) -> tuple[Tensor, Tensor]:
    """Records (V, B, ...) and labels (V, B) of one who takes what is shared for honest."""
    rng = np.random.default_rng(0)
    if attack == "spear":
        return exact(seen)
    victims = stack(seen)
    distance = Distance("cosine") if attack == "ig" else Distance("l2", "early")
    best = searched(attack, victims, Matching(victims, distance), turns, rng)
    return victims.outside(best.x), best.y.argmax(2)


def exact(seen: list[Observation], search: str = "auto") -> tuple[Tensor, Tensor]:
    attack = Spear(search=search, samples=20_000, rounds=2)
    found = [attack([one], np.random.default_rng(0))[0] for one in seen]
    return torch.stack([one.inputs for one in found]), torch.stack([one.labels for one in found])


def aware(
    attack: str, seen: list[Observation], protection: Protection, prior: Prior, turns: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Records, labels and losses (V,) of one who knows the protection."""
    rng = np.random.default_rng(0)
    victims = stack(seen)
    matching = informed_matching(victims, protection, prior)
    if attack == "spear":
        best = polished(seen, victims, matching, turns)
    else:
        best = searched(attack, victims, matching, turns, rng)
    inputs = victims.outside(best.x)
    return prior.upright(inputs) if protection.expand else inputs, best.y.argmax(2), best.loss


def polished(seen: list[Observation], victims: Victims, matching: Aware, turns: int) -> Best:
    """SPEAR's answers by both of its ways, with labels in the most probable order, polished; the better ones."""
    rng = np.random.default_rng(0)
    starts = [exact(seen, search) for search in ("auto", "sampling")]
    index, found = torch.arange(len(seen)).repeat(len(starts)), torch.cat([inputs for inputs, _ in starts])
    labels = torch.stack([labelled(seen[int(at)], inputs, rng) for at, inputs in zip(index, found, strict=True)])
    x = victims.inside(found)
    y = one_hot(swapped(matching, x, labels, index), victims.first.classes)
    return SignedAdam(matching, index, x, y, turns // 2, 0.03, "cosine").run().result()


def swapped(matching: Aware, x: Tensor, labels: Tensor, index: Tensor, rounds: int = 8) -> Tensor:
    """(P, B): the labels after the swaps of two of them that each make the batch most probable."""
    pairs = torch.combinations(torch.arange(labels.shape[1]), 2)
    if labels.shape[1] > SWAPPED or not len(pairs):
        return labels

    def losses(tried: Tensor) -> Tensor:
        count = tried.shape[1]
        rows = one_hot(tried.flatten(0, 1), matching.victims.first.classes)
        return matching.evaluate(x.repeat_interleave(count, 0), rows, index.repeat_interleave(count))[0].unflatten(
            0, (-1, count)
        )

    own = losses(labels[:, None])
    for _ in range(rounds):
        tried = labels[:, None].repeat(1, len(pairs), 1)
        number = torch.arange(len(pairs))
        tried[:, number, pairs[:, 0]] = labels[:, pairs[:, 1]]
        tried[:, number, pairs[:, 1]] = labels[:, pairs[:, 0]]
        best = losses(tried).min(1, keepdim=True)
        better = best.values < own
        if not bool(better.any()):
            break
        moved = tried[torch.arange(len(labels)), best.indices[:, 0]]
        labels, own = torch.where(better, moved, labels), torch.minimum(best.values, own)
    return labels


def chosen(
    first: tuple[Tensor, ...], second: tuple[Tensor, ...], seen: list[Observation], protection: Protection, prior: Prior
) -> tuple[Tensor, ...]:
    """Of each victim the answer that the protection makes more probable."""
    victims = stack(seen)
    matching = informed_matching(victims, protection, prior)
    index = torch.arange(len(seen))
    y = one_hot(torch.where(first[1] < 0, 0, first[1]), victims.first.classes)
    loss = matching(victims.inside(first[0].nan_to_num(0.5).clamp(0, 1)), y, index)
    better = (loss < second[2]).tolist()
    return tuple(
        torch.stack([one if take else other for one, other, take in zip(a, b, better, strict=True)])
        for a, b in zip(first[:2], second[:2], strict=True)
    )


def informed(seen: list[Observation], protection: Protection) -> list[Observation]:
    """The observations as one takes them who knows how the clients trained, and with whom."""
    defence = protection.defence
    if isinstance(defence, Clipping):
        return [_lengthened(one) for one in seen]
    if isinstance(defence, LocalSteps):
        return [_stepped(one, defence) for one in seen]
    if protection.pool > 1:
        count, one = protection.pool, seen[0]
        training = one.training and dataclasses.replace(one.training, batch=one.training.batch * count)
        return [dataclasses.replace(each, records=count * each.records, training=training) for each in seen[::count]]
    return seen


def _lengthened(one: Observation) -> Observation:
    """With the length that whole numbers of labels need."""
    factor = shrinkage(one, np.random.default_rng(0))
    return dataclasses.replace(one, shared={name: value / factor for name, value in one.shared.items()})


def _stepped(one: Observation, defence: LocalSteps) -> Observation:
    if one.training is not None:
        rule = LocalTraining(defence.strength * one.training.epochs, defence.batch, one.training.learning_rates)
        return dataclasses.replace(one, training=rule)
    rule = LocalTraining(defence.strength, defence.batch, (defence.rate,))
    factor = defence.rate * rule.steps(one.records)
    return dataclasses.replace(one, training=rule, shared={name: factor * value for name, value in one.shared.items()})
