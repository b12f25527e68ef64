"""MemGuard: answers are changed until a membership classifier cannot tell."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from app.defences.models.outputs import Floats, OutputDefence
from app.parameters import parameter


@dataclass(frozen=True)
class MemGuard(OutputDefence):
    """Adversarial examples against the defender's own membership classifier, added to the answers at random.

    Call `fitted` first; the classifier is told answers for members and for non-members.
    """

    title: ClassVar[str] = "MemGuard"
    source: ClassVar[str] = (
        "Jia, Salem, Backes, Zhang and Gong, 2019, CCS, algorithm 1 and equations 13 to 20: noise on the logits that "
        "minimises |h| + c2 max(0, runner-up - label) + c3 L1, with c3 raised tenfold as long as it succeeds; "
        "the noise is added with the probability that keeps the expected L1 distortion within the budget. "
        "The classifier sees sorted answers, and all records are worked on at a time."
    )

    budget: float = parameter(0.5, "The most expected L1 distortion of an answer.", minimum=0.0, maximum=2.0)
    steps: int = parameter(300, "Gradient steps for each weight of the distortion.", minimum=1, maximum=10_000)
    rate: float = parameter(0.1, "Length of a step.", minimum=1e-6, maximum=100.0)
    label_weight: float = parameter(10.0, "c2, the weight of keeping the label.", minimum=0.0, maximum=1e6)
    first_weight: float = parameter(0.1, "The first c3, the weight of the distortion.", minimum=1e-9, maximum=1e6)
    weights: int = parameter(6, "Values of c3 that are tried, each ten times the one before.", minimum=1, maximum=12)
    epochs: int = parameter(200, "Steps of the classifier's training.", minimum=1, maximum=100_000)

    def fitted(self, members: Floats, others: Floats, rng: np.random.Generator, device: str = "cpu") -> "Guard":
        """The protection with its classifier, trained on answers (n, C) for members and (m, C) for non-members."""
        answers = torch.as_tensor(np.concatenate([members, others]), dtype=torch.float32, device=device)
        truth = torch.tensor([1.0] * len(members) + [0.0] * len(others), device=device)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**63 - 1)))
        weights = _initial(answers.shape[1], generator, device)
        optimiser = torch.optim.Adam(weights, 0.01)
        # Either side counts the same, however many records it has.
        balance = torch.where(truth > 0, 0.5 / len(members), 0.5 / len(others))
        for _ in range(self.epochs):
            optimiser.zero_grad()
            scores = _membership(weights, answers)
            (balance * functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")).sum().backward()
            optimiser.step()
        return Guard(self, tuple(weight.detach() for weight in weights))

    def blurred(self, probabilities: Floats, rng: np.random.Generator) -> Floats:
        """Raises TypeError: there is no classifier to guard against yet."""
        raise TypeError("MemGuard needs its membership classifier: call fitted(...) and use what it returns")


@dataclass(frozen=True)
class Guard(OutputDefence):
    """MemGuard with its classifier."""

    title: ClassVar[str] = MemGuard.title
    source: ClassVar[str] = MemGuard.source

    settings: MemGuard
    classifier: tuple[Tensor, ...]

    def blurred(self, probabilities: Floats, rng: np.random.Generator) -> Floats:
        """The answers with their noise, where the draw says so."""
        before = torch.as_tensor(probabilities, dtype=torch.float32, device=self.classifier[0].device)
        after = self.noisy(before)
        distortion = (after - before).abs().sum(1)
        helps = self.membership(after).abs() < self.membership(before).abs()
        chance = torch.where(helps, (self.settings.budget / distortion.clamp(min=1e-12)).clamp(max=1.0), 0.0)
        drawn = rng.random(len(before)) < chance.cpu().numpy()
        return np.where(drawn[:, None], after.cpu().numpy().astype(probabilities.dtype), probabilities)

    def membership(self, answers: Tensor) -> Tensor:
        """(n,): the classifier's logit, 0 where it cannot tell."""
        return _membership(self.classifier, answers)

    def noisy(self, before: Tensor) -> Tensor:
        """(n, C): the least distorted answers with the same label on which the classifier changes sides."""
        found = before
        logits = before.clamp(min=1e-9).log()
        open_rows = torch.arange(len(before), device=before.device)
        for turn in range(self.settings.weights):
            weight = self.settings.first_weight * 10.0**turn
            changed, succeeded = self._search(before[open_rows], logits[open_rows], weight)
            # A larger weight of the distortion is tried only where the smaller one succeeded.
            found = found.index_copy(0, open_rows[succeeded], changed[succeeded])
            open_rows = open_rows[succeeded]
        return found

    def _search(self, before: Tensor, logits: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Answers, and for which rows they keep the label and put the classifier on the other side."""
        label, side = before.argmax(1), self.membership(before).sign()
        noise, done = torch.zeros_like(logits), torch.zeros_like(label, dtype=torch.bool)
        for _ in range(self.settings.steps):
            rows = (~done).nonzero()[:, 0]
            if not len(rows):
                break
            leaf = noise[rows].requires_grad_(True)
            (slope,) = torch.autograd.grad(
                self._loss(before[rows], logits[rows] + leaf, label[rows], weight).sum(), leaf
            )
            length = slope.norm(dim=1, keepdim=True).clamp(min=1e-12)
            noise[rows] = leaf.detach() - self.settings.rate * slope / length
            changed = (logits[rows] + noise[rows]).softmax(1)
            done[rows] = (changed.argmax(1) == label[rows]) & (self.membership(changed).sign() != side[rows])
        return (logits + noise).softmax(1), done

    def _loss(self, before: Tensor, logits: Tensor, label: Tensor, weight: float) -> Tensor:
        """(n,): equation 18."""
        answers = logits.softmax(1)
        own = logits.gather(1, label[:, None])[:, 0]
        others = logits.scatter(1, label[:, None], -torch.inf).amax(1)
        kept = self.settings.label_weight * (others - own).relu()
        return self.membership(answers).abs() + kept + weight * (answers - before).abs().sum(1)


def _initial(classes: int, generator: torch.Generator, device: str) -> list[Tensor]:
    """The weights of a classifier with two hidden layers."""
    found = []
    for inputs, outputs in ((classes, 64), (64, 32), (32, 1)):
        weight = torch.randn(outputs, inputs, generator=generator, device=device) * (2.0 / inputs) ** 0.5
        found += [weight.requires_grad_(True), torch.zeros(outputs, device=device, requires_grad=True)]
    return found


def _membership(weights: list[Tensor] | tuple[Tensor, ...], answers: Tensor) -> Tensor:
    rows = answers.sort(dim=1, descending=True).values
    rows = nn.functional.linear(rows, weights[0], weights[1]).relu()
    rows = nn.functional.linear(rows, weights[2], weights[3]).relu()
    return nn.functional.linear(rows, weights[4], weights[5])[:, 0]
