"""Activation patterns of the last hidden layer, found by projecting back and forth instead of by luck."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from app.attacks.gradients.base import Observation
from app.attacks.gradients.cpa import separated, upright
from app.attacks.gradients.heads import LinearHead
from app.attacks.gradients.mixtures import Mixture, null_directions, settled, sources
from app.attacks.gradients.scaling import denormalised, normalised

MISFIT, INEXACT = 2e-3, 0.1
"""Relative misfit above which a candidate is no column of A, for one gradient and for the mean of several."""
CLEAR = 8
"""Neurons per class from which on values tell columns apart; with fewer, some pull explains anything."""
SEPARATING = 200
"""Iterations of FastICA for a first guess."""
SETTLING = 6
"""Times that the pattern of a candidate is read from its column anew."""


@dataclass(frozen=True)
class Guess:
    """Columns of A as a rougher attack has them."""

    columns: Tensor
    """(n, m)."""
    outputs: Tensor
    """(n, classes): logits of the records that they belong to."""


@dataclass(frozen=True)
class PatternSearch:
    """Douglas-Rachford iterations between the space of the gradient and the patterns that a ReLU allows.

    The column of A that belongs to a record of class c is known up to the pattern of its active neurons: its entries
    are 0 or v_k, where v = (p - e_c) W / B, W are the weights of the output layer and p the record's probabilities,
    which an untrained network gives alike to all. It also lies in the space of the columns of `left`. Alternating
    reflections between the two sets (Douglas and Rachford, 1956; Elser, Rankenburg and Thibault, 2007, PNAS) find
    points of both from random starts in polynomial time, where SPEAR's sampling takes 2^(B-1) / B draws.
    """

    head: LinearHead
    mixture: Mixture
    """Of the gradient of the last hidden layer."""
    records: int
    outputs: Tensor
    """(n, classes): logits that the network gives to any inputs of the domain."""
    restarts: int = 32
    """Starts per class and round."""
    steps: int = 300
    exact: bool = True
    """Whether the gradient is one of a single step."""
    guess: Guess | None = None
    """Where the first round begins, if there is something better than chance."""

    def block(self, turn: int, known: Tensor, generator: torch.Generator) -> Tensor:
        """(n, r) columns of Q, the sparsest first; `known` (k, r) are those found so far.

        The starts go to the classes that have labels in the batch, counted from the gradient of the last bias, of which
        not all columns are known; every second round to all of them, since counts and columns may be wrong.
        """
        layer = self.head.layers[-1]
        guess = self.guess if turn == 0 else None
        pull, point = self._random(turn, known, generator) if guess is None else self._guessed(guess)
        ends = self._search(pull, point)
        found = settled(self.mixture, ends)[0]
        if CLEAR * len(layer.weight) <= len(self.mixture.rows):
            found = torch.cat([found, consistent(self.mixture, layer.weight, ends, pull)])
        _, missed = explained(self.mixture, layer.weight, found)
        return found[missed < (MISFIT if self.exact else INEXACT)]

    def _likely(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """(classes,): how often each label occurs, and whether it does."""
        counts = self.records * (probabilities.mean(0) - self.head.layers[-1].bias_gradient)
        return counts, (counts > 0.3) | (counts == counts.max())

    def _random(self, turn: int, known: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(n, m): pulls of columns that are missing, and starts for them."""
        probabilities, weight = self.outputs.double().softmax(1), self.head.layers[-1].weight
        counts, likely = self._likely(probabilities)
        missing = counts.round() - _per_class(explained(self.mixture, weight, known)[0])
        wanted = likely & (missing > 0) if turn % 2 == 0 else likely
        classes = (wanted if wanted.any() else likely).nonzero()[:, 0].repeat_interleave(self.restarts)
        drawn = torch.randint(len(probabilities), (len(classes),), generator=generator).to(classes.device)
        pull = (probabilities[drawn] - one_hot(classes, len(counts))) @ weight / self.records
        return pull, torch.rand(pull.shape, generator=generator, dtype=torch.float64).to(pull.device).round() * pull

    def _guessed(self, guess: Guess) -> tuple[Tensor, Tensor]:
        """(n, m): the pulls that explain the columns of the guess best, by their direction, and those columns."""
        probabilities, weight = guess.outputs.double().softmax(1), self.head.layers[-1].weight
        classes = self._likely(probabilities)[1].nonzero()[:, 0]
        pulls = ((probabilities @ weight)[:, None] - weight[classes]) / self.records
        fit = torch.einsum("nm,ncm->nc", guess.columns, pulls) / pulls.norm(dim=2).clamp_min(1e-300)
        return pulls[torch.arange(len(pulls), device=pulls.device), fit.argmax(1)], guess.columns

    def _search(self, pull: Tensor, point: Tensor) -> Tensor:
        """(n, r): where the iterations from each start (n, m), for its row of `pull`, end, made a null direction."""
        mixture, left = self.mixture, self.mixture.left
        inside = point
        for _ in range(self.steps):
            inside = (point @ left) @ left.T
            allowed = torch.where((2.0 * inside - point) / pull > 0.5, pull, 0.0)
            point = point + allowed - inside
        rows, pull = mixture.rows, pull[:, mixture.alive]
        length = left[mixture.alive].norm(dim=1)
        directions = inside @ left
        for _ in range(6):
            share = (directions @ rows.T) * length / pull
            level = torch.where(share > 0.5, share, torch.nan).nanmedian(1).values.nan_to_num(1.0)
            directions, _ = null_directions(rows, share.abs() < 0.3 * level[:, None])
            # A null direction has no length: it gets the one that fits the pull best.
            values = (directions @ rows.T) * length
            active = (values.abs() > 0.1 * pull.abs().mean() * values.abs().mean() / pull.abs().mean()).double()
            directions /= ((values * pull * active).sum(1) / (pull.square() * active).sum(1).clamp_min(1e-300))[:, None]
            directions = directions.nan_to_num(0.0, 0.0, 0.0)
        return directions


def guess_from_sources(
    observation: Observation, head: LinearHead, mixture: Mixture, generator: torch.Generator
) -> Guess | None:
    """Columns of A of the last hidden layer, from records separated by their statistics; None if they are no images.

    `mixture` is that of the gradient of the last hidden layer.
    """
    if not head.from_data or len(observation.input_shape) != 3:
        return None
    first, hidden = head.layers[0], len(head.layers) - 2
    rng = np.random.default_rng(int(torch.randint(2**31 - 1, (1,), generator=generator)))
    rows = separated(first.weight_gradient, observation.input_shape, mixture.rank, SEPARATING, rng)
    inputs = upright(rows, first.weight_gradient, first.bias_gradient)
    shaped = denormalised(observation, inputs.reshape(-1, *observation.input_shape))
    inputs = normalised(observation, shaped.clamp(observation.low, observation.high)).flatten(1)
    values = head.activations(inputs)
    columns = sources(values[hidden].T, head.layers[hidden].weight_gradient.T)
    return Guess((columns @ mixture.left) @ mixture.left.T, values[-1])


def consistent(mixture: Mixture, weight: Tensor, directions: Tensor, pull: Tensor) -> Tensor:
    """(n, r) unit directions near candidates (n, r), settled by the values of their columns instead of by their zeros.

    Where every zero of one record's column is one of another's too, as with records that are almost alike, zeros alone
    leave a plane. But with its pattern given, a column is `mask * (pull @ weight)` for one pull at the logits, and it
    is in the space of the columns of `left`: the pull that keeps it nearest to that space is an eigenvector.
    `pull` (n, m): what the candidates' columns should be where they are not zero.
    """
    left, values = mixture.left, directions @ mixture.left.T
    for _ in range(SETTLING):
        mask = (values * pull > 0.5 * pull.square()).to(values)
        gram = torch.einsum("nk,ck,dk->ncd", mask, weight, weight)
        inside = torch.einsum("nk,kr,ck->nrc", mask, left, weight)
        ridge = 1e-12 * weight.square().sum() * torch.eye(len(weight), dtype=values.dtype, device=values.device)
        root = torch.linalg.cholesky(gram + ridge)
        outside = torch.linalg.solve_triangular(root, gram - inside.mT @ inside, upper=False)
        outside = torch.linalg.solve_triangular(root, outside.mT, upper=False)
        best = torch.linalg.eigh(0.5 * (outside + outside.mT))[1][:, :, :1]
        logits = torch.linalg.solve_triangular(root.mT, best, upper=True)
        directions = (inside @ logits)[:, :, 0]
        values, pull = directions @ left.T, logits[:, :, 0] @ weight
    return directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-300)


def explained(mixture: Mixture, weight: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """The pull at the logits (n, classes) that explains each column best, and the relative misfit (n,).

    Where a column of A is not zero, it is `pull @ weight`. The difference of two columns that are almost alike can
    have more zeros than either of them, but no one pull explains it.
    """
    values = directions @ mixture.left.T
    active = torch.zeros_like(values)
    active[:, mixture.alive] = (~mixture.zeros(directions)).double()
    values = values * active
    gram = torch.einsum("nk,ck,dk->ncd", active, weight, weight)
    ridge = 1e-9 * weight.square().sum() * torch.eye(len(weight), dtype=torch.float64, device=weight.device)
    pull = torch.linalg.solve(gram + ridge, torch.einsum("nk,ck->nc", values, weight))
    missed = (values - pull @ weight * active).norm(dim=1) / values.norm(dim=1).clamp_min(1e-300)
    # So few values are explained by anything.
    few = active.sum(1) < min(2 * len(weight), active.shape[1] // 4)
    return pull, missed.masked_fill(few, torch.inf)


def _per_class(pull: Tensor) -> Tensor:
    """(classes,): how many pulls belong to each class: the label's entry is the only one of its sign."""
    largest = pull.abs().argmax(1) if len(pull) else torch.zeros(0, dtype=torch.int64, device=pull.device)
    return torch.bincount(largest, minlength=pull.shape[1]).double()
