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
from app.experiments.federated_protection.federation import Federation, Outcome, as_it_is
from app.experiments.federated_protection.told import Told, together, told
from app.experiments.federated_protection.white_box import CLIENTS, GLOBAL, white_box
from app.training import logits

Integers = NDArray[np.int64]
FLOOR = 1e-12


@dataclass(frozen=True)
class Measured:
    """One outcome of one seed."""

    accuracy: float
    """Of the global model on new records."""
    member_accuracy: float
    client_accuracy: float
    """Of the clients' models on new records, in the mean."""
    attacks: dict[tuple[str, str], Told]
    """(attack, "global" or "clients") -> what it told; of the clients' models together, each against its own records.
    """


def measure(federation: Federation, outcome: Outcome, cache: ReferenceCache, active: Outcome | None = None) -> Measured:
    """Accuracies and attacks of one outcome; `cache` keeps shadow models, which do not depend on the protection.

    `active` is the outcome of the same federation whose server attacks while it trains; without it nobody does.
    """
    sample, y, effort = federation.sample, federation.records.y, federation.parameters.attacks
    quick = quick_attacks()
    attacks = quick | (_trained_attacks(federation, cache) if effort == "all" else {})
    found = {(name, GLOBAL): each for name, each in _told(federation, outcome, sample.members, attacks).items()}
    each, right = [], []
    for client, rows in enumerate(sample.shares.rows):
        own = Outcome(outcome.clients.take(slice(client, client + 1)), outcome.clients)
        each.append(_told(federation, own, sample.members[rows], quick))
        right.append(metrics.accuracy(federation.probabilities(own.final, sample.others), y[sample.others]))
    found |= {(name, CLIENTS): together([one[name] for one in each], sample.shares.sizes) for name in quick}
    if effort != "quick":
        found |= white_box(federation, outcome, active)
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
) -> dict[str, Told]:
    """What each attack tells of these members and all new records."""
    rows = np.r_[members, federation.sample.others]
    candidates, population = (_records(federation, places) for places in (rows, federation.held_out))
    target = _target(federation, outcome, candidates)
    found = {}
    for name, attack in attacks.items():
        rng = np.random.default_rng(federation.seed)
        scores = attack(target, candidates, population, rng, federation.device)
        found[name] = told(scores, np.arange(len(rows)) < len(members))
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
