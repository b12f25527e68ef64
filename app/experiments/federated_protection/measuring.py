"""What an outcome is good for, and what attacks learn from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app import metrics
from app.attacks.membership.base import MembershipAttack, Records, Target
from app.attacks.membership.entropy import Entropy
from app.attacks.membership.gradient_norm import GradientNorm
from app.attacks.membership.loss_threshold import LossThreshold
from app.attacks.membership.ml_leaks import MlLeaks1, MlLeaks3
from app.attacks.membership.references import ReferenceCache
from app.attacks.membership.shadow_models import ShadowModels
from app.attacks.membership.white_box import WhiteBox
from app.attacks.membership.white_box_evidence import last_weights, observe
from app.experiments.federated_protection.protections import Federation, Outcome, as_it_is
from app.training import Stack, logits

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
FLOOR = 1e-12
GLOBAL, CLIENTS = "global", "clients"
KNOWN = 1000
"""Members, and as many others, of which the white-box attacker knows half; their gradients are kept in memory."""
LAYERS = 2
"""Weights whose gradients it looks at, from the output on."""


@dataclass(frozen=True)
class Measured:
    """One outcome of one seed."""

    accuracy: float
    """Of the global model on new records."""
    member_accuracy: float
    client_accuracy: float
    """Of the clients' models on new records, in the mean."""
    auc: dict[tuple[str, str], float]
    """(attack, "global" or "clients") -> AUC; of the clients' models the mean, each against its own records."""


def measure(federation: Federation, outcome: Outcome, cache: ReferenceCache) -> Measured:
    """Accuracies and attacks of one outcome; `cache` keeps shadow models, which do not depend on the protection."""
    sample, y = federation.sample, federation.records.y
    quick, is_thorough = quick_attacks(), federation.parameters.attacks == "all"
    attacks = quick | (_trained_attacks(federation, cache) if is_thorough else {})
    found = {(name, GLOBAL): auc for name, auc in _told(federation, outcome, sample.members, attacks).items()}
    each, right = [], []
    for client, rows in enumerate(sample.shares.rows):
        own = Outcome(outcome.clients.take(slice(client, client + 1)), outcome.clients, as_it_is)
        each.append(_told(federation, own, sample.members[rows], quick))
        right.append(metrics.accuracy(federation.probabilities(own.final, sample.others), y[sample.others]))
    found |= {(name, CLIENTS): float(np.mean([one[name] for one in each])) for name in quick}
    if is_thorough:
        found["white-box", GLOBAL] = _white_box(federation, outcome.final)
    # No protection of answers changes the predicted class.
    accuracies = [
        metrics.accuracy(federation.probabilities(outcome.final, rows), y[rows])
        for rows in (sample.others, sample.members)
    ]
    return Measured(accuracies[0], accuracies[1], float(np.mean(right)), found)


def quick_attacks() -> dict[str, MembershipAttack]:
    """Attacks that need nothing but the model."""
    return {
        "loss": LossThreshold(),
        "confidence": MlLeaks3("highest"),
        "entropy": Entropy(),
        "gradient-norm": GradientNorm(),
    }


def _trained_attacks(federation: Federation, cache: ReferenceCache) -> dict[str, MembershipAttack]:
    """Attacks that train shadow models on the population, as large as the federation's own training set."""
    chosen = federation.parameters
    known = len(federation.held_out)
    common: dict[str, Any] = {
        "models": 2 * (chosen.shadows // 2),
        "architecture": "cnn" if chosen.model == "cnn" else "perceptron",
        "records": min(len(federation.sample.members), known // 2),
        "cache": cache,
    }
    return {"ml-leaks": MlLeaks1(**common), "shadow-models": ShadowModels(**common)}


def _told(
    federation: Federation, outcome: Outcome, members: Integers, attacks: Mapping[str, MembershipAttack]
) -> dict[str, float]:
    """Attack -> AUC against these members and all new records."""
    rows = np.r_[members, federation.sample.others]
    candidates, population = (_records(federation, places) for places in (rows, federation.held_out))
    target = _target(federation, outcome, candidates)
    found = {}
    for name, attack in attacks.items():
        rng = np.random.default_rng(federation.seed)
        scores = attack(target, candidates, population, rng, federation.device)
        found[name] = metrics.auc(scores, np.arange(len(rows)) < len(members))
    return found


def _records(federation: Federation, places: Integers) -> Records:
    return Records(federation.records.x[places], federation.records.y[places])


def _target(federation: Federation, outcome: Outcome, candidates: Records) -> Target:
    """The global model as attackers see it: its answers, which a protection may have blurred, and its weights."""
    stack = outcome.final

    def asked(x: NDArray[np.float32]) -> NDArray[np.float32]:
        if x is candidates.x:
            return known
        found = logits(stack, torch.tensor(x, device=federation.device))[0].double()
        if outcome.answers is as_it_is:
            return found.float().cpu().numpy()
        answers = outcome.answers(found.softmax(-1).cpu().numpy())
        return np.log(np.maximum(answers, FLOOR)).astype(np.float32)

    # Whoever asks about a record again gets the same answer, or the noise of an answer could be averaged out.
    known = asked(candidates.x.copy())

    def forward(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return stack.forward(weights, x)

    return Target(federation.records.classes, asked, parameters=stack.weights(0), forward=forward)


def _white_box(federation: Federation, stack: Stack) -> float:
    """The AUC on records that the attacker does not know, after learning from as many whose membership it knows."""
    rng = np.random.default_rng(federation.seed)
    count = min(KNOWN, len(federation.sample.members), len(federation.sample.others))
    sides = [rng.permutation(rows)[:count] for rows in (federation.sample.members, federation.sample.others)]
    x, y = (
        torch.tensor(each[np.concatenate(sides)], device=federation.device)
        for each in (federation.records.x, federation.records.y)
    )
    weights = stack.weights(0)
    evidence = observe(stack.forward, [weights], x, y, federation.records.classes, last_weights(weights, LAYERS))
    is_member, is_known = np.arange(2 * count) < count, np.arange(2 * count) % 2 == 0
    places = torch.from_numpy(np.flatnonzero(is_known)).to(x.device)
    fitted = WhiteBox().fit(evidence.take(places), is_member[is_known], rng)
    hidden = torch.from_numpy(np.flatnonzero(~is_known)).to(x.device)
    return metrics.auc(fitted.scores(evidence.take(hidden)), is_member[~is_known])
