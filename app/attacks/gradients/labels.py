"""Labels of a private batch, read from the gradient of the last linear layer.

With softmax and cross-entropy the gradient of the last bias is the mean over the records of p - onehot(y), and that of
the last weights is the mean of (p - onehot(y)) times the activation before it, which is not negative after a ReLU or a
sigmoid. An update of several steps is treated as the mean of their gradients, at the weights that were sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from app.attacks.gradients.base import Observation, Unsuited
from app.attacks.gradients.scaling import as_gradient
from app.attacks.gradients.simulate import attackable

SAMPLES = 256
"""Random inputs that the mean prediction and activation are estimated from."""
POINTS = 11
FEW = 3
"""Places along an update at which predictions are estimated: where counts are the aim, and for a first look."""
NEAR = 0.3
"""How far expected counts may be from whole numbers to be believed."""
SHORTEST, LONGEST = 1e-6, 0.8
"""Factors that count as shortened; a push that seems longer is one whose prediction is wrong."""
CLEARLY = 0.5
"""A shortened push must explain what is seen so much better than one of full length."""


def last_layer(observation: Observation) -> tuple[str, str | None]:
    """Names of the weights and, if there is one, the bias of the last linear layer; Unsuited when there is none."""
    names = list(observation.parameters)
    for name in reversed(names):
        tensor = observation.parameters[name]
        if tensor.ndim == 2 and len(tensor) == observation.classes:
            bias = name.removesuffix("weight") + "bias"
            return name, bias if bias != name and bias in observation.parameters else None
    raise Unsuited(f"the model has no last linear layer with {observation.classes} rows to read labels from")


def row_sums(observation: Observation) -> Tensor:
    """(K,): the sum of each class's row of the last weights' gradient; negative where records of the class push it up.

    The sum over the row rather than its products with another row, as in Zhao, Mopuri and Bilen (2020, eq. 5): it does
    not need to know a row of a wrong class.
    """
    weight, _ = last_layer(observation)
    return as_gradient(observation)[weight].double().sum(1)


def idlg(observation: Observation) -> Tensor:
    """(1,): the label of a single record: the class with the lowest row sum.

    Zhao, Mopuri and Bilen, 2020, arXiv 2001.02610, eq. 6. Raises Unsuited for more than one record.
    """
    if observation.records != 1:
        raise Unsuited(f"the rule of iDLG reads one label, not those of {observation.records} records")
    return row_sums(observation).argmin()[None]


def unique(observation: Observation) -> Tensor:
    """(B,): the B classes whose rows reach lowest, in rising order; right if no class occurs twice.

    Yin et al., 2021, CVPR, eq. 5: a row of a class that is in the batch has an entry that is clearly negative.
    """
    if observation.records > observation.classes:
        raise Unsuited(
            f"{observation.records} records of {observation.classes} classes cannot all differ in their class"
        )
    weight, _ = last_layer(observation)
    lowest = as_gradient(observation)[weight].amin(1)
    return lowest.argsort()[: observation.records].sort().values


def bias_corrected(observation: Observation) -> Tensor:
    """(B,): labels in rising order, a class as often as its bias can pay for the mean push of a record.

    First every class with a negative bias gradient, then the lowest class again and again, each time lightened by the
    mean push (Geiping et al., the default of breaching). Row sums stand in where the layer has no bias.
    """
    _, bias = last_layer(observation)
    push = as_gradient(observation)[bias].double() if bias else row_sums(observation)
    return spelled(paid(push, observation.records))


def paid(push: Tensor, records: int) -> Tensor:
    """(K,): how often each class can pay for the mean push of a record; needs neither predictions nor the scale."""
    counts = torch.zeros_like(push)
    negative = (push < 0).nonzero()[:, 0]
    first = negative[push[negative].argsort()][:records]
    counts[first] = 1.0
    impact = push[negative].sum() / records
    rest = push - impact * counts
    for _ in range(records - len(first)):
        lowest = int(rest.argmin())
        counts[lowest] += 1.0
        rest[lowest] -= impact
    return counts.long()


def counts(observation: Observation, rng: np.random.Generator) -> Tensor:
    """(K,): how many records each class has, from the mean prediction and activation of other inputs."""
    return rounded(expected_counts(observation, rng), observation.records)


def expected_counts(observation: Observation, rng: np.random.Generator) -> Tensor:
    """(K,): n p_c - n db_c from the last bias, or n p_c - n dW_c / O from the sums of the rows.

    p and O are means over `public` records in the place of the private ones; there being none, over uniform noise
    within the range of the inputs (Dimitrov et al., 2022, TMLR, section 4.2, at the weights that were sent). They
    come out near whole numbers where p is right.
    """
    return Pushes.seen(observation, rng, 1).expected()


def counts_from_update(observation: Observation, rng: np.random.Generator, points: int = POINTS) -> Tensor:
    """(K,): how many records each class has, with predictions along the way from the weights sent to those sent back.

    The mean over the steps of n p_c - n db_c, or n p_c - n dW_c / O without a bias: p_c, of each class by itself, and O
    are estimated at `points` places of the straight line between the weights (Dimitrov et al., 2022, TMLR, section
    4.2, where p and O themselves are interpolated between two). A gradient has one place, its own.
    """
    return rounded(Pushes.seen(observation, rng, points).expected(), observation.records)


def shrinkage(observation: Observation, rng: np.random.Generator) -> float:
    """The factor by which a protection has shortened what was shared, as the last bias tells it; 1 where it tells none.

    Counts of labels are whole numbers, which only the gradient's true length gives.
    """
    return Pushes.seen(observation, rng).fitted().factor


@dataclass(frozen=True)
class Fit:
    """Counts that explain a push, as far as it goes."""

    counts: Tensor
    """(K,)."""
    factor: float
    """The length of the push that was shared, as a share of the honest one."""
    misfit: float
    """What they leave of it, as a share of its length."""
    gap: float
    """The largest distance of expected counts from these."""


@dataclass(frozen=True)
class Pushes:
    """What the last layer tells of the labels of n records: its push is the mean of predictions less the counts / n."""

    chance: Tensor
    """(K,): the mean prediction for records that are like the private ones."""
    push: Tensor
    """(K,)."""
    records: int

    @classmethod
    def seen(cls, observation: Observation, rng: np.random.Generator, points: int = FEW) -> "Pushes":
        """The push of a gradient or, by the mean of `points` places along an update, of several steps."""
        weight, bias = last_layer(observation)
        mean = as_gradient(observation, "cpu", torch.float64)
        # The gradient of a step is taken before the step, so that the last weights are those of no step.
        steps = 1 if observation.training is None else observation.training.steps(observation.records)
        drawn, found = int(rng.integers(2**63)), []
        for share in np.linspace(0.0, 1.0 - 1.0 / steps, min(points, steps)):
            at = between(observation, float(share)) if share else observation
            found.append(_estimates(at, weight, np.random.default_rng(drawn)))
        inverse = float(np.mean([1.0 / activation for _, activation in found]))
        push = mean[bias] if bias else mean[weight].sum(1) * inverse
        return cls(torch.stack([chance for chance, _ in found]).mean(0), push, observation.records)

    def expected(self, factor: float = 1.0) -> Tensor:
        """(K,): counts if the push has this share of its honest length."""
        return self.records * (self.chance - self.push / factor)

    def fit(self, factor: float = 1.0) -> Fit:
        """The whole numbers next to the expected counts."""
        expected = self.expected(factor)
        counts = rounded(expected, self.records)
        left = self.push - factor * self.honest(counts)
        misfit = float(left.norm() / self.push.norm().clamp(min=1e-300))
        return Fit(counts, factor, misfit, float((expected - counts).abs().max()))

    def honest(self, counts: Tensor) -> Tensor:
        """(K,): the push that these counts would give."""
        return self.chance - counts / self.records

    def fitted(self) -> Fit:
        """The better fit of a push of full length, and of one that a protection such as clipping has shortened.

        Counts that need no length, by the mean push, tell the factor; whole numbers at that factor tell it better.
        """
        full, counts = self.fit(), paid(self.push, self.records)
        best = full
        for _ in range(2):
            honest = self.honest(counts)
            factor = float(honest @ self.push / honest.square().sum().clamp(min=1e-300))
            if not SHORTEST < factor < LONGEST:
                break
            short = self.fit(factor)
            best, counts = min(best, short, key=lambda each: each.misfit), short.counts
        return best if best.misfit < CLEARLY * full.misfit else full


def between(observation: Observation, share: float) -> Observation:
    """The observation with the weights, and buffers where they were shared, at a share of the way to the last ones."""
    moved = {name: start - share * observation.shared[name] for name, start in observation.parameters.items()}
    held = dict(observation.buffers)
    for name, last in observation.shared_buffers.items():
        if name in held and last.is_floating_point():
            held[name] = held[name].lerp(last, share)
    return replace(observation, parameters=moved, buffers=held)


def rounded(expected: Tensor, total: int) -> Tensor:
    """(K,): whole numbers, none negative, with this sum: rounded down, the rest to the largest remainders."""
    expected = expected.clamp(min=0.0)
    found = (
        (expected * (total / expected.sum().clamp(min=1e-12))).clamp(max=total) if expected.sum() > total else expected
    )
    whole = found.floor()
    order = (found - whole).argsort(descending=True)
    for turn in range(int(total - whole.sum())):
        whole[order[turn % len(order)]] += 1.0
    return whole.long()


def spelled(counts: Tensor) -> Tensor:
    """(B,): every class as often as its count says, in rising order."""
    return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)


def recover(observation: Observation, rng: np.random.Generator) -> Tensor:
    """(B,): the labels that the observation tells, or the best rule finds, in rising order unless told."""
    if observation.labels is not None:
        return observation.labels.clone()
    if observation.records == 1:
        return idlg(observation).cpu()
    fit = Pushes.seen(observation, rng).fitted()
    # Counts that come out near whole numbers speak for the estimated prediction; a trained network betrays it.
    if last_layer(observation)[1] is None or fit.gap < NEAR:
        return spelled(fit.counts)
    return bias_corrected(observation).cpu()


def agreement(found: Tensor, true: Tensor, classes: int) -> float:
    """The share of the labels that are right, whatever their order: the overlap of the two multisets."""
    a, b = (torch.bincount(labels[labels >= 0].long(), minlength=classes) for labels in (found, true))
    return float(torch.minimum(a, b).sum()) / max(1, len(true))


def _estimates(observation: Observation, weight: str, rng: np.random.Generator) -> tuple[Tensor, float]:
    """The mean probability of each class, and the mean sum of the activations before the last layer."""
    model = attackable(observation.model, "cpu").double()
    seen: list[Tensor] = []
    layer = model.get_submodule(weight.rpartition(".")[0])
    layer.register_forward_hook(lambda module, given, result: seen.append(given[0]))
    state = {name: tensor.detach().cpu().double() for name, tensor in observation.parameters.items()}
    held = {name: tensor.detach().cpu() for name, tensor in observation.buffers.items()}
    held = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in held.items()}
    with torch.no_grad():
        logits = functional_call(model, (state, held), (_inputs(observation, rng),))
    return logits.softmax(1).mean(0), float(seen[0].flatten(1).mean(1).mean() * seen[0].flatten(1).shape[1])


def _inputs(observation: Observation, rng: np.random.Generator) -> Tensor:
    """(n, *input_shape): inputs as the model takes them."""
    if observation.public is not None and len(observation.public):
        chosen = rng.permutation(len(observation.public))[:SAMPLES]
        x = observation.public[torch.as_tensor(chosen)].detach().cpu().double()
    else:
        drawn = rng.uniform(observation.low, observation.high, (SAMPLES, *observation.input_shape))
        x = torch.as_tensor(drawn)
    shape = (-1, *[1] * (len(observation.input_shape) - 1))
    mean, std = (
        torch.tensor(v, dtype=torch.float64).reshape(shape)
        for v in (observation.mean or (0.0,), observation.std or (1.0,))
    )
    return (x - mean) / std


RULES: Mapping[str, Callable[[Observation], Tensor]] = MappingProxyType(
    {"idlg": idlg, "unique": unique, "bias_corrected": bias_corrected}
)
"""Rules that need nothing but the observation."""
