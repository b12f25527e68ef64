"""A federation under each of the protections."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from app.defences.models.dp_sgd import DpSgd
from app.defences.models.dropout import with_dropout
from app.defences.models.losses import LabelSmoothing, RelaxLoss, TrainingLoss
from app.defences.models.memguard import MemGuard
from app.defences.models.outputs import OutputDefence, Rounded, TopK
from app.experiments.federated_protection.additional_round import post
from app.experiments.federated_protection.federation import Federation, Outcome, outcome_of, snapshots
from app.federated import Local
from app.federated.private import PrivateLocal
from app.training import log_probabilities


def plain(federation: Federation) -> Outcome:
    """No protection."""
    return outcome_of(federation.plain)


def protected(federation: Federation) -> Outcome:
    """The federation under the chosen protection."""
    return _KINDS[federation.parameters.protection](federation)


def _loss(federation: Federation) -> Outcome:
    chosen = federation.parameters
    loss: TrainingLoss = (
        RelaxLoss(chosen.relax_alpha) if chosen.protection == "relaxloss" else LabelSmoothing(chosen.smoothing)
    )
    return outcome_of(federation.trained(local=Local(loss)))


def _dropout(federation: Federation) -> Outcome:
    return outcome_of(federation.trained(with_dropout(federation.model(), federation.parameters.dropout)))


def _early(federation: Federation) -> Outcome:
    """The round after which the global model was best on the held-out records."""
    rows, history = federation.held_out, federation.plain
    x, y = (torch.tensor(each[rows], device=federation.device) for each in (federation.records.x, federation.records.y))
    seen = snapshots(history)
    losses = [-float(log_probabilities(each.server, x, y).mean()) for each in seen]
    best = int(np.argmin(losses))
    note = f"Early stopping kept round {best + 1} of {len(losses)}."
    return Outcome(seen[best].server, seen[best].clients, note=note, earlier=seen[:best])


def _private(federation: Federation) -> Outcome:
    chosen = federation.parameters
    settings = DpSgd(clip=chosen.clip, noise_multiplier=chosen.noise_multiplier, delta=chosen.delta)
    history = federation.trained(local=PrivateLocal(settings))
    size = int(federation.sample.shares.sizes.min())
    counted = replace(settings, epochs=chosen.epochs, batch=chosen.batch).epsilon(size, chosen.rounds)
    note = f"DP-SGD: epsilon {counted:.2f} at delta {chosen.delta:g} for each record of the smallest client."
    return replace(outcome_of(history), note=note)


def _answers(federation: Federation) -> Outcome:
    """Protections of what the global model answers; weights are as they were."""
    chosen, history = federation.parameters, federation.plain
    rng = np.random.default_rng(federation.seed)
    protections: dict[str, Callable[[], OutputDefence]] = {
        "memguard": lambda: MemGuard(chosen.budget).fitted(
            federation.probabilities(history.final, federation.sample.members),
            federation.probabilities(history.final, federation.held_out),
            rng,
            federation.device,
        ),
        "top-k": lambda: TopK(chosen.top_k),
        "rounded": lambda: Rounded(chosen.digits),
    }
    protection = protections[chosen.protection]()
    note = (
        f"{protection.title} changes answers only: whoever has the weights, as the clients do, sees as much as before."
    )
    return replace(outcome_of(history), answers=lambda given: protection(given, rng), note=note)


_KINDS: dict[str, Callable[[Federation], Outcome]] = {
    "none": plain,
    "p2-published": post,
    "p2-corrected": post,
    "p2-distilled": post,
    "label-smoothing": _loss,
    "relaxloss": _loss,
    "dropout": _dropout,
    "early-stopping": _early,
    "dp-sgd": _private,
    "memguard": _answers,
    "top-k": _answers,
    "rounded": _answers,
}
