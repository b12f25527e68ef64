"""Robbing the Fed: reading records out of an imprint layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from app.attacks.gradients.analytic import filled
from app.attacks.gradients.base import GradientAttack, Observation, Progress, Reconstruction, Unsuited, silent
from app.attacks.gradients.imprint import Imprint
from app.attacks.gradients.layers import watched
from app.attacks.gradients.scaling import as_gradient, denormalised, is_exact, logits
from app.parameters import parameter

SAME = 1e-2
"""Relative distance below which two candidates are one record."""
CLEARLY = 0.5
"""How much nearer the pull of a label must be than any other, and how far shares may be from 1 and 0."""


@dataclass(frozen=True)
class RobbingTheFed(GradientAttack):
    """Subtract the gradients of neighbouring neurons of the imprint layer, and divide by those of their biases."""

    title: ClassVar[str] = "Robbing the Fed"
    source: ClassVar[str] = (
        "Fowl, Geiping, Czaja, Goldblum and Goldstein, 2022, ICLR, eq. 3. Variant of the house: bins calibrated on "
        "public records, a threshold relative to the largest bin instead of a test for zero, and check sums that tell "
        "records from blends without the truth. Where the layer sorts by several directions, records that are alone "
        "in a bin are taken out of their bins in the others, until nothing is alone any more, as an invertible Bloom "
        "lookup table is listed (Goodrich and Mitzenmacher, 2011, Allerton)."
    )

    threshold: float = parameter(
        1e-4, "Share of the largest bin's bias gradient below which a bin is empty.", minimum=0.0, maximum=0.5
    )
    agreement: float = parameter(
        1e-3, "Relative error of the check sums up to which a candidate counts as a record.", minimum=1e-6, maximum=0.5
    )

    def __call__(
        self,
        observations: Sequence[Observation],
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> list[Reconstruction]:
        """One after the other; nothing is iterated, and nothing is random."""
        results = []
        for place, observation in enumerate(observations):
            results.append(self._one(observation, device))
            progress((place + 1) / len(observations))
        return results

    def _one(self, observation: Observation, device: str) -> Reconstruction:
        prefix, imprint = layer(observation)
        gradient = as_gradient(observation, device, torch.float64)
        names = ("bins.bias", "bins.weight", "checks.weight")
        cells = torch.cat([gradient[f"{prefix}{name}"].reshape(imprint.edges.numel(), -1) for name in names], dim=1)
        cells = differences(cells.nan_to_num(0.0, 0.0, 0.0), len(imprint.edges))
        sure, rest = self._peeled(observation, imprint, cells)
        rows = torch.cat([sure, rest])[: observation.records]
        inputs = denormalised(observation, _flat(rows, imprint).reshape(len(rows), *observation.input_shape))
        found, known = filled(observation, inputs)
        confident = known & (torch.arange(len(known), device=known.device) < len(sure))
        own = torch.full((observation.records,), -1, dtype=torch.int64, device=found.device)
        if len(sure):
            tell = by_pulls if is_exact(observation) else by_features
            own[: len(sure)] = tell(observation, inputs[: len(sure)], gradient, sure[: len(own), 0])
        note = f"{len(sure)} records taken out of {len(cells)} bins, {len(rest)} bins left with several"
        score = 1.0 - float(confident.double().mean())
        return Reconstruction(found.float(), own, score, (), note, confident)

    def _peeled(self, observation: Observation, imprint: Imprint, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of records that their check sums vouch for, and those of bins left with several, the likeliest first.

        `cells` (K, 1 + d + CHECKS) hold the sums over their records of pull, pull x and pull h(x). A record pulls
        equally in all directions, so that what one bin holds alone can be taken out of the others as it is.
        """
        least = self.threshold * cells[:, 0].abs().max()
        cells, found = cells.clone(), cells[:0]
        fresh = torch.ones(len(cells), dtype=torch.bool, device=cells.device)
        errors = torch.full((len(cells),), torch.inf, dtype=cells.dtype, device=cells.device)
        while True:
            places = (fresh & (cells[:, 0].abs() > least)).nonzero()[:, 0]
            rows, fresh = cells[places], torch.zeros_like(fresh)
            errors[places] = self._errors(observation, imprint, rows, places)
            sure = (errors[places] <= self.agreement).nonzero()[:, 0]
            for one in sure[errors[places][sure].argsort()]:
                row, place = rows[one], int(places[one])
                if fresh[place]:
                    continue
                homes = imprint.homes(_flat(row[None], imprint))[0]
                # A record that training carried over an edge leaves some of its pull in a bin next to its own.
                if _is_among(row, found):
                    homes = places[one][None]
                else:
                    found = torch.cat([found, row[None]])
                    homes[place // imprint.edges.shape[1]] = place
                    homes = homes[homes >= 0]
                cells[homes] -= row
                fresh[homes] = True
            if not fresh.any():
                break
        left = (cells[:, 0].abs() > least).nonzero()[:, 0]
        return found, cells[left[errors[left].argsort(stable=True)]]

    def _errors(self, observation: Observation, imprint: Imprint, rows: Tensor, places: Tensor) -> Tensor:
        """(n,): how far the check sums of rows are from those of the record that each would be, if it were one.

        Infinite for a record out of range, or out of the bin that it was found in.
        """
        flat = _flat(rows, imprint)
        inputs = denormalised(observation, flat.reshape(len(flat), *observation.input_shape)).flatten(1)
        width = 0.02 * (observation.high - observation.low)
        fits = ((inputs >= observation.low - width) & (inputs <= observation.high + width)).all(1)
        group, count = places // imprint.edges.shape[1], imprint.edges.shape[1]
        edges = imprint.edges.to(flat)
        slack = 1e-3 * (edges[:, -1] - edges[:, 0])[group]
        ends = torch.cat([edges, edges.new_full((len(edges), 1), torch.inf)], dim=1)
        level = imprint.levels(flat)[torch.arange(len(flat)), group]
        fits &= (level > ends[group, places % count] - slack) & (level < ends[group, places % count + 1] + slack)
        true, seen = imprint.squares(flat), rows[:, 1 + flat.shape[1] :] / rows[:, :1]
        errors = (seen - true).norm(dim=1) / true.norm(dim=1).clamp_min(1e-300)
        return torch.where(fits, errors, torch.inf)


def layer(observation: Observation) -> tuple[str, Imprint]:
    """The imprint of the model, and what the names of its parameters begin with; raises Unsuited without one."""
    for name, module in observation.model.named_modules():
        if isinstance(module, Imprint):
            return f"{name}." if name else "", module
    raise Unsuited("the first layer of this model is no imprint")


def by_pulls(observation: Observation, inputs: Tensor, gradient: Mapping[str, Tensor], pulls: Tensor) -> Tensor:
    """(n,): for each record the label whose pull, by the weights that were sent, is the one seen; -1 where none is."""
    bias = f"{layer(observation)[0]}bins.bias"
    weights = {name: value.to(inputs) for name, value in observation.parameters.items()}

    def answer(value: Tensor) -> Tensor:
        return logits(observation, inputs, {**weights, bias: value})

    # All neurons have the same way out, and the first is active for everything.
    first = torch.zeros_like(weights[bias])
    first[0] = 1.0
    given, slopes = torch.autograd.functional.jvp(answer, weights[bias], first)
    predicted = ((given.softmax(1) * slopes).sum(1, keepdim=True) - slopes) / observation.records
    errors, labels = (predicted - pulls[:, None]).abs().sort(dim=1)
    return torch.where(errors[:, 0] < CLEARLY * errors[:, 1], labels[:, 0], -1)


def by_features(observation: Observation, inputs: Tensor, gradient: Mapping[str, Tensor], pulls: Tensor) -> Tensor:
    """(n,): the label of each record, from the last linear layer's gradient; -1 where that leaves it open.

    That gradient is the mean of (p - onehot(y)) times the features, and inputs that are known give both p and the
    features: what is left is linear in the labels. Local training changes pulls at once; shares of records in classes
    remain near 0 and 1 for a while.
    """
    with torch.no_grad():
        seen, answer = watched(observation, inputs)
    last = seen.calls[-1]
    if not torch.equal(last.outputs, answer):
        return torch.full((len(inputs),), -1, device=inputs.device)
    push = gradient[last.weight] @ torch.linalg.pinv(last.inputs, rtol=1e-6)
    shares = answer.softmax(1) - observation.records * push.T
    labels = shares.argmax(1)
    errors = (shares - one_hot(labels, observation.classes)).abs().amax(1)
    return torch.where(errors < CLEARLY, labels, -1)


def differences(sums: Tensor, groups: int) -> Tensor:
    """(K, ...): what the bins of each of `groups` directions hold by themselves.

    A neuron is active for all records above its edge, so the difference to the next one belongs to its own bin; the
    last neuron's own gradient belongs to the last bin.
    """
    parts = sums.reshape(groups, -1, sums.shape[1])
    return torch.cat([parts[:, :-1] - parts[:, 1:], parts[:, -1:]], dim=1).reshape(sums.shape)


def _flat(rows: Tensor, imprint: Imprint) -> Tensor:
    """(n, d): the records of rows, as the model takes them."""
    return rows[:, 1 : 1 + imprint.directions.shape[1]] / rows[:, :1]


def _is_among(row: Tensor, found: Tensor) -> bool:
    """Whether the record of a row is that of one found before, up to its pull."""
    one, others = row[1:] / row[0], found[:, 1:] / found[:, :1]
    return bool(((others - one).norm(dim=1) <= SAME * one.norm()).any())
