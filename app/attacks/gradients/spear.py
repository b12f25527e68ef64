"""SPEAR: a whole batch from the gradient of one linear layer with a ReLU, exactly, with a certificate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.heads import Layer, LinearHead, linear_head
from app.attacks.gradients.layers import probes
from app.attacks.gradients.mixtures import (
    Mixture,
    completed,
    factorise,
    independent,
    parted,
    settled,
    sources,
    unmixed,
)
from app.attacks.gradients.patterns import PatternSearch, guess_from_sources
from app.attacks.gradients.scaling import as_gradient, denormalised, is_exact, logits
from app.parameters import parameter

BLOCK = 1 << 22
"""Numbers of sampled sub-matrices that are solved at a time."""
AGREEMENT = 0.99
"""Share of neurons that must be active exactly where A is not zero."""
SURE = (1e-7, 1e-4)
"""A hidden value below the first share of the largest is zero, one above the second is not; between, it is unsure."""
LUCKY = 18
"""Records beyond which sampling is hopeless: 2^(B-1) / B samples are needed for one more column."""
Block = Callable[[int, Tensor], Tensor]
"""Columns of Q (n, r) for a turn, given those known so far."""
POLISHES = 3
"""Times that A is computed anew from the records found."""


@dataclass(frozen=True)
class Recovered:
    """Inputs of a layer, recovered from its gradient."""

    inputs: Tensor
    """(r, d)."""
    labels: Tensor
    """(r,)."""
    agreement: Tensor
    """(r,): the share of neurons whose activity agrees with A."""
    residual: float
    """Relative distance of the gradient that these inputs give from the one that was shared."""
    exact: bool
    """Whether `residual` should vanish: not for a mean over several steps."""
    tolerance: float

    @property
    def certified(self) -> bool:
        """Whether these inputs are proven to be the private ones, without any look at those."""
        return self.exact and bool((self.agreement >= AGREEMENT).all()) and self.residual <= self.tolerance

    @property
    def note(self) -> str:
        """The certificate in words."""
        signs = f"activity agrees at {100 * float(self.agreement.min()):.1f} % of the neurons or more"
        if not self.exact:
            return f"no certificate, since the update is of several steps; {signs}"
        text = f"gradient residual {self.residual:.1e}, {signs}"
        return f"certified: {text}" if self.certified else f"not certified: {text}"


@dataclass(frozen=True)
class Spear(GradientAttack):
    """Recover all inputs of the first layer of a network of linear layers and ReLUs."""

    title: ClassVar[str] = "SPEAR"
    source: ClassVar[str] = (
        "Dimitrov, Baader, Müller and Vechev, 2024, NeurIPS (algorithm 1): null vectors of sampled rows, filtered by "
        "sparsity. Variant of the house: every direction is refitted to all of its zeros, the basis is the sparsest "
        "independent set, labels follow by least squares, A is recomputed from the result, and for larger batches the "
        "sampling is replaced by a search for the activation patterns of the last hidden layer, from which the layers "
        "before it follow; there, the separated sources (see the Cocktail Party Attack) are the first guess at large "
        "batches of images."
    )

    search: str = parameter(
        "auto",
        "How directions are found: by sampling, by patterns, or as fits.",
        choices=("auto", "sampling", "patterns"),
    )
    samples: int = parameter(400_000, "Sub-matrices that are sampled at most.", minimum=100, maximum=100_000_000)
    restarts: int = parameter(32, "Starts per class and round of the pattern search.", minimum=1, maximum=4096)
    steps: int = parameter(300, "Iterations from each start of the pattern search.", minimum=10, maximum=10_000)
    rounds: int = parameter(24, "Rounds of the pattern search at most.", minimum=1, maximum=1000)

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One after the other: each observation is a batched search of its own."""
        heads = [linear_head(each, as_gradient(each, device), device) for each in observations]
        if not all(head.from_data for head in heads):
            raise Unsuited("the first layer of this model is not a linear one on the records themselves")
        results = []
        for place, (observation, head) in enumerate(zip(observations, heads, strict=True)):
            results.append(self._one(observation, head, rng))
            progress((place + 1) / len(observations))
        return results

    def _one(self, observation: Observation, head: LinearHead, rng: np.random.Generator) -> Reconstruction:
        found = self.recover(observation, head, rng)
        inputs = denormalised(observation, found.inputs.reshape(-1, *observation.input_shape))
        inputs = inputs.nan_to_num(0.5 * (observation.low + observation.high)).clamp(observation.low, observation.high)
        # Records that are alike are one to the gradient: the list begins anew until there are enough.
        order = torch.arange(observation.records, device=inputs.device) % len(inputs)
        sure = (found.agreement >= AGREEMENT) & (found.certified or not found.exact)
        return Reconstruction(
            inputs[order].float(), found.labels[order], found.residual, (), found.note, confident=sure[order]
        )

    def recover(self, observation: Observation, head: LinearHead, rng: np.random.Generator) -> Recovered:
        """The inputs of the first layer of `head`, which may be features instead of the records.

        Raises Unsuited when the layers are too narrow for so many records.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
        records, first = observation.records, head.layers[0]
        if records >= min(first.weight.shape):
            raise Unsuited(f"{records} records need a first linear layer with more inputs and outputs than that")
        mixture = factorise(first.weight_gradient, first.bias_gradient, records, generator)
        ways = {"sampling": self._by_sampling, "patterns": self._by_patterns}
        # Features of two pictures are more alike than the pictures, and leave few rows that tell them apart.
        few = mixture.rank <= 8 and head.from_data
        order = ["sampling", "patterns"] if few else ["patterns", "sampling"]
        order = order if mixture.rank <= LUCKY else ["patterns"]
        best: Recovered | None = None
        for way in order if self.search == "auto" else [self.search]:
            inputs = ways[way](observation, head, mixture, generator)
            found = self._checked(observation, head, mixture, inputs)
            if best is None or found.residual < best.residual:
                best = found
            if best.certified:
                break
        assert best is not None, "there is a way"  # noqa: S101 (both branches above have one)
        return best

    def _by_sampling(
        self, observation: Observation, head: LinearHead, mixture: Mixture, generator: torch.Generator
    ) -> Tensor:
        size = max(256, BLOCK // mixture.rank**2)
        blocks = range(-(-self.samples // size))

        def block(turn: int, known: Tensor) -> Tensor:
            return sampled(mixture, min(1024 << turn, size), generator)

        return _assembled(head.layers[0], mixture, (block, blocks))[1]

    def _by_patterns(
        self, observation: Observation, head: LinearHead, mixture: Mixture, generator: torch.Generator
    ) -> Tensor:
        hidden = len(head.layers) - 2
        if hidden:
            layer = head.layers[hidden]
            mixture = factorise(layer.weight_gradient, layer.bias_gradient, mixture.rank, generator)
        outputs = _typical_outputs(observation, str(mixture.left.device))
        search = PatternSearch(
            head,
            mixture,
            observation.records,
            outputs,
            self.restarts,
            self.steps,
            is_exact(observation),
            guess_from_sources(observation, head, mixture, generator) if mixture.rank > LUCKY else None,
        )

        def block(turn: int, known: Tensor) -> Tensor:
            return search.block(turn, known, generator)

        mixing, inputs = _assembled(head.layers[hidden], mixture, (block, range(self.rounds)))
        for place in reversed(range(hidden)):
            inputs, mixing = _before(head.layers[place], head.layers[place + 1], mixing, inputs)
        return inputs

    def _checked(self, observation: Observation, head: LinearHead, mixture: Mixture, inputs: Tensor) -> Recovered:
        """Labels, a polish where the gradient is one of a single step, and the certificate."""
        exact, layer = is_exact(observation), head.layers[0]
        inputs = _repeated(head, inputs, observation.records)
        labels = head.labels(inputs)
        residual = head.residual(inputs, labels)
        for _ in range(POLISHES if exact else 0):
            moved = sources(head.pulls(inputs, labels)[0], layer.weight_gradient)
            again = head.labels(moved)
            after = head.residual(moved, again)
            if not after < residual:
                break
            inputs, labels, residual = moved, again, after
        mixing = sources(inputs.T, layer.weight_gradient.T).T
        agrees = agreement(layer, mixture, mixing, inputs)
        return Recovered(inputs, labels, agrees, residual, exact, _tolerance(observation))


def sampled(mixture: Mixture, size: int, generator: torch.Generator) -> Tensor:
    """(n, r): columns of Q among the null vectors of `size` samples of r - 1 rows of L (SPEAR, section 4).

    They are those that vanish on many more rows than they must. Rows are drawn without repetition within a sample.
    """
    rows, rank = mixture.rows, mixture.rank
    chosen = _samples(len(rows), rank - 1, size, generator).to(rows.device)
    # A further row that is random fixes the length, so that a linear equation is left.
    anchor = torch.randn(len(chosen), 1, rank, generator=generator, dtype=torch.float64).to(rows.device)
    unit = torch.zeros(len(chosen), rank, 1, dtype=torch.float64, device=rows.device)
    unit[:, -1] = 1.0
    solved, failed = torch.linalg.solve_ex(torch.cat([rows[chosen], anchor], dim=1), unit)
    vectors = solved[failed == 0, :, 0]
    vectors = vectors[vectors.isfinite().all(1)]
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    zeros = mixture.zeros(vectors).sum(1)
    return settled(mixture, vectors[zeros >= rank + 2] if rank > 1 else vectors[:1])[0]


def _before(layer: Layer, following: Layer, mixing: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """X and A of the layer before the one with A `mixing` (m, r) and X `inputs` (r, d), which came out of a ReLU.

    What comes back through the ReLU is known, so that the inputs solve a linear equation. Neurons of which it is not
    sure whether they were active are left out of it.
    """
    share = inputs.abs() / inputs.abs().amax(1, keepdim=True).clamp_min(1e-300)
    pulled = (following.weight.T @ mixing) * (inputs > 0).T * (share > SURE[0]).T
    sure = ((share < SURE[0]) | (share > SURE[1])).all(0)
    rows = sure if int(sure.sum()) >= 2 * len(inputs) else torch.ones_like(sure)
    return sources(pulled[rows], layer.weight_gradient[rows]), pulled


def _samples(rows: int, size: int, count: int, generator: torch.Generator) -> Tensor:
    """(count, size) row numbers; whole permutations are cut into samples."""
    if rows < size or not size:
        return torch.zeros(count, size, dtype=torch.int64)
    pieces = rows // size
    order = torch.rand(-(-count // pieces), rows, generator=generator).argsort(dim=1)
    return order[:, : pieces * size].reshape(-1, size)[:count]


def _assembled(layer: Layer, mixture: Mixture, blocks: tuple[Block, range]) -> tuple[Tensor, Tensor]:
    """A and X from the sparsest independent directions of as many blocks as it takes until they agree."""
    pool = torch.zeros(0, mixture.rank, dtype=torch.float64, device=mixture.left.device)
    mixing, inputs = unmixed(mixture, completed(pool, mixture.rank))
    block, turns = blocks
    for turn in turns:
        pool = _sparsest(mixture, torch.cat([pool, block(turn, pool)]))
        if len(pool) == mixture.rank:
            mixing, inputs = unmixed(mixture, pool)
            if _agrees(layer, mixture, mixing, inputs):
                break
            pool = _sparsest(mixture, torch.cat([pool, settled(mixture, parted(mixture, pool))[0]]))
        mixing, inputs = unmixed(mixture, completed(pool, mixture.rank))
        if len(pool) == mixture.rank and _agrees(layer, mixture, mixing, inputs):
            break
    return mixing, inputs


def _sparsest(mixture: Mixture, directions: Tensor) -> Tensor:
    zeros = mixture.zeros(directions).sum(1)
    directions = directions[zeros.argsort(descending=True, stable=True)]
    return directions[independent(directions, mixture.rank)]


def _agrees(layer: Layer, mixture: Mixture, mixing: Tensor, inputs: Tensor) -> bool:
    """Whether every record is active exactly where it pulls."""
    return bool((agreement(layer, mixture, mixing, inputs) >= AGREEMENT).all())


def agreement(layer: Layer, mixture: Mixture, mixing: Tensor, inputs: Tensor) -> Tensor:
    """(r,): the share of living neurons that each input of the layer activates exactly where its column of A says."""
    active = inputs @ layer.weight.T + layer.bias > 0
    directions = (mixture.left.T @ mixing).T
    pulled = ~mixture.zeros(directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-300))
    return (active[:, mixture.alive] == pulled).double().mean(1)


def _repeated(head: LinearHead, inputs: Tensor, records: int) -> Tensor:
    """The inputs (r, d), each as often as its pull says: records that are alike are one to the gradient."""
    if len(inputs) == records:
        return inputs
    single = head.pulls(inputs, head.labels(inputs))[0] * len(inputs) / records
    pulled = sources(inputs.T, head.layers[0].weight_gradient.T).T
    counts = (pulled * single).sum(0) / single.square().sum(0).clamp_min(1e-300)
    times = counts.nan_to_num(1.0).round().clamp(1, records).long()
    return inputs.repeat_interleave(times, dim=0) if int(times.sum()) == records else inputs


def _typical_outputs(observation: Observation, device: str) -> Tensor:
    """(n, classes): logits of public records, or of noise where there are none."""
    inputs = probes(observation, 64) if observation.public is None else observation.public[:512]
    with torch.no_grad():
        return logits(observation, inputs.to(device, torch.float32)).double()


def _tolerance(observation: Observation) -> float:
    """The gradient residual that rounding explains: more for a small update, which is a difference of large numbers."""
    if observation.training is None:
        return 1e-5
    start = sum(float(value.double().square().sum()) for value in observation.parameters.values())
    moved = sum(float(observation.shared[name].double().square().sum()) for name in observation.parameters)
    return max(1e-5, 1e-7 * float((start / max(moved, 1e-300)) ** 0.5))
