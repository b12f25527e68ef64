"""Activation patterns of the last hidden layer, found by projecting back and forth instead of by luck."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from app.attacks.gradients.heads import LinearHead
from app.attacks.gradients.mixtures import Mixture, null_directions, settled

MISFIT, INEXACT = 2e-3, 0.1
"""Relative misfit above which a candidate is no column of A, for one gradient and for the mean of several."""


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

    def block(self, turn: int, known: Tensor, generator: torch.Generator) -> Tensor:
        """(n, r) columns of Q, the sparsest first; `known` (k, r) are those found so far.

        The starts go to the classes that have labels in the batch, counted from the gradient of the last bias, of which
        not all columns are known; every second round to all of them, since counts and columns may be wrong.
        """
        probabilities, layer = self.outputs.double().softmax(1), self.head.layers[-1]
        counts = self.records * (probabilities.mean(0) - layer.bias_gradient)
        likely = (counts > 0.3) | (counts == counts.max())
        missing = counts.round() - _per_class(explained(self.mixture, layer.weight, known)[0])
        wanted = likely & (missing > 0) if turn % 2 == 0 else likely
        classes = (wanted if wanted.any() else likely).nonzero()[:, 0].repeat_interleave(self.restarts)
        drawn = torch.randint(len(probabilities), (len(classes),), generator=generator).to(classes.device)
        pull = (probabilities[drawn] - one_hot(classes, len(counts))) @ layer.weight / self.records
        found = settled(self.mixture, self._search(pull, generator))[0]
        _, missed = explained(self.mixture, layer.weight, found)
        return found[missed < (MISFIT if self.exact else INEXACT)]

    def _search(self, pull: Tensor, generator: torch.Generator) -> Tensor:
        """(n, r): where the iterations from one start for each row of `pull` (n, m) end, made a null direction."""
        mixture, left = self.mixture, self.mixture.left
        point = torch.rand(pull.shape, generator=generator, dtype=torch.float64).to(pull.device).round() * pull
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
