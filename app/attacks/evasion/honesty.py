"""Checks that a robustness number needs before it is trusted.

A model on which attacks fail is robust, or it hides its gradient. Each check looks for one way of hiding (Athalye,
Carlini and Wagner, 2018, ICML; Carlini et al., 2019, arXiv:1902.06705; Pintor et al., 2022, NeurIPS; Croce and Hein,
2020, ICML) and tells what it saw, with the numbers, and what to do about it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor, nn

from app.attacks.evasion.base import (
    Box,
    FixedBudget,
    Model,
    Progress,
    chunks,
    gradient,
    predictions,
    silent,
)
from app.attacks.evasion.losses import margin
from app.attacks.evasion.minimum_norm import MinimumNorm
from app.attacks.evasion.norms import Norm, normal
from app.attacks.evasion.pgd import Pgd
from app.attacks.evasion.square import Square
from app.attacks.evasion.traces import Trace
from app.parameters import parameter

NUDGED = 64
"""Values of an input that are moved to find out whether its outputs follow."""


class Fault(StrEnum):
    """What can be wrong with a robustness number."""

    NOT_FINITE = "not_finite"
    PROBABILITIES = "probabilities"
    RANDOM = "random"
    QUANTISED = "quantised"
    ZERO_GRADIENT = "zero_gradient"
    LOSS_STAYS = "loss_stays"
    UNBOUNDED = "unbounded"
    BLACK_BOX_WINS = "black_box_wins"
    TRANSFER_WINS = "transfer_wins"


@dataclass(frozen=True)
class Flag:
    """One reason not to trust a robustness number."""

    fault: Fault
    what: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Question:
    """The model, a sample of inputs with their classes, and the threat model."""

    model: Model
    x: Tensor
    y: Tensor
    epsilon: float
    norm: Norm
    box: Box
    rng: np.random.Generator

    def logits(self, x: Tensor) -> Tensor:
        """(N, K) logits, chunk by chunk."""
        with torch.no_grad():
            return torch.cat([self.model(x[rows]) for rows in chunks(x)])

    def broken(self, attack: FixedBudget, epsilon: float, trace: Trace | None = None) -> Tensor:
        """(N,): which inputs are misclassified after the attack."""
        moved = attack.perturb(self.model, self.x, self.y, epsilon, self.norm, self.box, self.rng, trace=trace)
        return predictions(self.model, moved) != self.y


@dataclass(frozen=True)
class Honesty:
    """Which checks raise a flag, and how hard they look."""

    steps: int = parameter(40, "Gradient steps of the attacks that check the gradient.", minimum=5, maximum=10_000)
    queries: int = parameter(500, "Queries of the Square attack; 0 leaves it out.", minimum=0, maximum=1_000_000)
    tolerated: float = parameter(
        0.02, "Share of the inputs on which a check may fail by chance.", minimum=0.0, maximum=1.0
    )
    surrogate_steps: int = parameter(
        300, "Training steps of the model whose errors are transferred; 0 leaves it out.", minimum=0, maximum=100_000
    )

    def examine(  # noqa: PLR0913 (the question, the threat model and the surroundings of the run.)
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        epsilon: float,
        norm: Norm,
        box: Box,
        rng: np.random.Generator,
        progress: Progress = silent,
    ) -> tuple[Flag, ...]:
        """The flags that the model raises on the inputs `x` (N, ...) with classes `y` (N,); none is a good sign.

        `epsilon` is a perturbation size at which robustness is claimed. Only inputs that are classified correctly are
        looked at; 100 of them are enough. The Manhattan norm goes without Square, which does not know it.
        """
        right = predictions(model, x) == y
        question = Question(model, x[right].detach(), y[right], epsilon, norm, box, rng)
        if not len(question.x):
            return ()
        flags: list[Flag] = []
        checks: tuple[Callable[[Question], Iterable[Flag]], ...] = (
            outputs,
            randomness,
            staircase,
            self.zero_gradient,
            self.attacks,
        )
        for turn, check in enumerate(checks):
            flags += check(question)
            progress((turn + 1) / len(checks))
        return tuple(flags)

    def zero_gradient(self, question: Question) -> Iterable[Flag]:
        """The gradient of the margin is zero, at the input or close to it."""
        nearby = question.box.clip(question.x + 0.01 * question.box.width * _noise(question))
        slopes = torch.cat([_slope(question, nearby[rows], question.y[rows]) for rows in chunks(nearby)])
        missing = int((slopes == 0.0).sum())
        if missing > self.tolerated * len(slopes):
            yield Flag(
                Fault.ZERO_GRADIENT,
                "The gradient is zero, so that no attack that follows it can succeed.",
                f"{missing} of {len(slopes)} inputs have no gradient of the margin between the two highest logits.",
                "Replace what has no gradient (rounding, thresholds, a saturated softmax) by a smooth stand-in for the "
                "attack, and give more weight to the Square attack.",
            )

    def attacks(self, question: Question) -> Iterable[Flag]:
        """The attack behaves as it should: its loss rises, it wins without bounds and against those that know less."""
        attack, trace = Pgd(steps=self.steps, rel_stepsize=0.1, loss="margin"), Trace(len(question.x), top=1)
        white = question.broken(attack, question.epsilon, trace) | self._near(question)
        yield from self._loss_stays(trace)
        yield from self._unbounded(question, attack)
        if self.queries and question.norm in Square.norms:
            black = question.broken(Square(queries=self.queries), question.epsilon)
            yield from self._beaten(white, black, Fault.BLACK_BOX_WINS, f"random search of {self.queries} queries")
        if self.surrogate_steps:
            moved = transferred(question, attack, self.surrogate_steps)
            carried = predictions(question.model, moved) != question.y
            yield from self._beaten(white, carried, Fault.TRANSFER_WINS, "errors of a small copy of the model")

    def _near(self, question: Question) -> Tensor:
        """(N,): which inputs have an error within epsilon by gradients that aim at the nearest classes, too.

        One ascent of the margin alone loses to random search on some inputs of honest models.
        """
        attack = MinimumNorm(steps=self.steps)
        asked = (question.model, question.x, question.y, question.norm, question.box, question.rng)
        moved = attack.minimise(*asked, sizes=(question.epsilon,))
        error = predictions(question.model, moved) != question.y
        return error & (question.norm.distance(moved - question.x) <= question.epsilon * (1.0 + 1e-6))

    def _loss_stays(self, trace: Trace) -> Iterable[Flag]:
        # A random model may be wrong at the second look on an input that it was right on at first: no path, no verdict.
        loss = trace.loss[np.isfinite(trace.loss).any(1)]
        rise = np.nanmax(loss, axis=1) - loss[:, 0] if len(loss) else np.empty(0)
        stuck = int((~(rise > 0.0)).sum())
        if stuck > self.tolerated * len(rise):
            yield Flag(
                Fault.LOSS_STAYS,
                "Following the gradient does not raise the loss.",
                f"On {stuck} of {len(rise)} inputs no step of {loss.shape[1] - 1} raised the margin.",
                "The gradient points nowhere: use more random starts, a smooth stand-in or attacks without gradients.",
            )

    def _unbounded(self, question: Question, attack: Pgd) -> Iterable[Flag]:
        widest = float(question.norm.distance(torch.full_like(question.x[:1], question.box.width)))
        whole = replace(attack, rel_stepsize=0.02)
        left = int((~question.broken(whole, widest)).sum())
        if left > self.tolerated * len(question.x):
            yield Flag(
                Fault.UNBOUNDED,
                "An attack that may change everything does not reach an accuracy of 0 %.",
                f"{left} of {len(question.x)} inputs are still classified correctly at epsilon {widest:g}.",
                "The attack fails, not the model withstands: look for a hidden gradient before reading the curve.",
            )

    def _beaten(self, white: Tensor, other: Tensor, fault: Fault, name: str) -> Iterable[Flag]:
        only = int((other & ~white).sum())
        if only > self.tolerated * len(white):
            yield Flag(
                fault,
                "An attack that knows less than the gradient wins where the gradient loses.",
                f"A {name} broke {only} of {len(white)} inputs that attacks of {self.steps} gradient steps did not.",
                "The gradient misleads the attack: report the worst case of both, and treat it as an upper bound.",
            )


def outputs(question: Question) -> Iterable[Flag]:
    """The outputs are finite logits."""
    logits = question.logits(question.x)
    if not bool(logits.isfinite().all()):
        wrong = int((~logits.isfinite().all(1)).sum())
        yield Flag(
            Fault.NOT_FINITE,
            "The model returns values that are not numbers.",
            f"{wrong} of {len(logits)} inputs.",
            "Mend the model; no attack can be judged on it.",
        )
    if bool((logits >= 0.0).all()) and bool(((logits.sum(1) - 1.0).abs() < 1e-3).all()):
        yield Flag(
            Fault.PROBABILITIES,
            "The outputs look like probabilities; attacks expect logits, and a softmax hides the gradient.",
            f"All outputs are at least 0 and sum to 1; the highest is {float(logits.amax(1).mean()):.3f} on average.",
            "Export the model without its last softmax.",
        )


def randomness(question: Question) -> Iterable[Flag]:
    """The same inputs give the same outputs."""
    first, second = question.logits(question.x), question.logits(question.x)
    spread = (first.amax(1) - first.amin(1)).clamp_min(1e-12)
    # A device may add in another order; that moves an output by far less than this.
    moved = ((first - second).abs().amax(1) / spread) > 1e-4
    if bool(moved.any()):
        flips = int((first.argmax(1) != second.argmax(1)).sum())
        yield Flag(
            Fault.RANDOM,
            "The model answers the same input differently.",
            f"{int(moved.sum())} of {len(moved)} inputs changed their logits, {flips} their class.",
            "Average gradient and prediction over several draws, and judge the model by its mean output.",
        )


def staircase(question: Question) -> Iterable[Flag]:
    """The outputs move when the inputs move a little, and take many values."""
    # The inputs themselves may stand on the edges of the steps; points beside them do not.
    beside = question.box.clip(question.x + 0.01 * question.box.width * _noise(question))
    logits = question.logits(beside)
    values = int(torch.unique(logits).numel())
    step = 2e-5 * question.box.width
    nudged = question.box.clip(beside + step * _few(question) * _noise(question))
    stays = int((question.logits(nudged) == logits).all(1).sum())
    if stays > len(logits) / 2 or values < min(logits.numel() / 4, 1 << 12):
        yield Flag(
            Fault.QUANTISED,
            "The outputs are a staircase: they do not follow small changes of the input.",
            f"{stays} of {len(logits)} inputs gave exactly the same outputs after a change of about {step:g}; the "
            f"{logits.numel()} outputs take {values} values.",
            "Attack the model without its rounding, and use the Square attack on the model as it is.",
        )


def transferred(question: Question, attack: FixedBudget, steps: int) -> Tensor:
    """Errors of a small network that was trained to answer as the model does (Papernot et al., 2017, AsiaCCS)."""
    generator = torch.Generator(question.x.device).manual_seed(int(question.rng.integers(2**63 - 1)))
    copy = _copied(question, steps, generator)
    guessed = copy(question.x).argmax(1)
    return attack.perturb(copy, question.x, guessed, question.epsilon, question.norm, question.box, question.rng)


def _copied(question: Question, steps: int, generator: torch.Generator) -> Model:
    """A network with one hidden layer that answers as the model does around the inputs."""
    values, classes, hidden = question.x[0].numel(), question.logits(question.x[:1]).shape[1], 128

    def layer(rows: int, columns: int) -> Tensor:
        drawn = torch.randn(rows, columns, generator=generator, device=question.x.device, dtype=question.x.dtype)
        return (drawn / rows**0.5).requires_grad_(True)

    first, second = layer(values, hidden), layer(hidden, classes)
    offset = torch.zeros(hidden, device=question.x.device, dtype=question.x.dtype, requires_grad=True)
    weights = [first, offset, second]

    def network(x: Tensor) -> Tensor:
        return torch.relu(x.flatten(1) @ first + offset) @ second

    optimiser = torch.optim.Adam(weights, 3e-3)
    spread = 0.2 * question.box.width
    for _ in range(steps):
        rows = torch.randint(len(question.x), (64,), generator=generator, device=question.x.device)
        x = question.x[rows]
        x = question.box.clip(x + spread * torch.rand(1, generator=generator, device=x.device) * normal(x, generator))
        with torch.enable_grad():
            loss = nn.functional.cross_entropy(network(x), predictions(question.model, x))
            for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight.grad = slope
        optimiser.step()
    for weight in weights:
        weight.requires_grad_(False)
    return network


def _slope(question: Question, x: Tensor, y: Tensor) -> Tensor:
    """(B,): the largest value of the gradient of the margin of each input."""
    _, _, slope = gradient(question.model, x, lambda logits: margin(logits, y))
    return slope.flatten(1).abs().amax(1)


def _few(question: Question) -> Tensor:
    """(1, ...): 1 at a few values, 0 elsewhere, because moving all values of a large input surely crosses some edge."""
    values = question.x[0].numel()
    chosen = torch.from_numpy(question.rng.permutation(values)[:NUDGED]).to(question.x.device)
    return torch.zeros_like(question.x[:1]).flatten().index_fill(0, chosen, 1.0).reshape(question.x[:1].shape)


def _noise(question: Question) -> Tensor:
    generator = torch.Generator(question.x.device).manual_seed(int(question.rng.integers(2**63 - 1)))
    return normal(question.x, generator)
