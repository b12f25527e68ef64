"""A federation under each of the protections."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.defences.models.dp_sgd import DpSgd
from app.defences.models.dropout import with_dropout
from app.defences.models.losses import LabelSmoothing, RelaxLoss, TrainingLoss
from app.defences.models.memguard import MemGuard
from app.defences.models.outputs import OutputDefence, Rounded, TopK
from app.defences.p2 import AsPublished, Corrected, PostProtection, Shares
from app.experiments.federated_protection.parameters import Parameters
from app.experiments.federated_protection.samples import Sample
from app.federated import Data, FederatedTraining, History, Local, average, run
from app.federated.private import PrivateLocal
from app.record_sets import RecordSet
from app.training import Stack, log_probabilities, logits, perceptron, seeded, small_cnn

Floats = NDArray[np.floating[Any]]
HIDDEN = {"perceptron": (128,), "deep": (500, 300)}


@dataclass(frozen=True)
class Outcome:
    """What a federation gives away under a protection."""

    final: Stack
    """The global model."""
    clients: Stack
    """What the clients sent last."""
    answers: Callable[[Floats], Floats]
    """Probabilities of the global model (n, K) -> what it answers instead."""
    note: str = ""
    """What the protection has to say, such as a counted epsilon."""


@dataclass(frozen=True)
class Federation:
    """One draw of the study, trained as often as needed from the same weights with the same batches."""

    records: RecordSet
    sample: Sample
    parameters: Parameters
    seed: int
    device: str

    @cached_property
    def training(self) -> FederatedTraining:
        """How the federation trains."""
        names = ("rounds", "epochs", "batch", "rate", "momentum", "weight_decay", "decay", "optimiser")
        return FederatedTraining(**{name: getattr(self.parameters, name) for name in names})

    @cached_property
    def plain(self) -> History:
        """The federation without a protection."""
        return self.trained()

    def model(self) -> nn.Module:
        """The network with its first weights."""
        records, name = self.records, self.parameters.model
        with seeded(self.seed):
            if name == "cnn":
                return small_cnn(records.shape, records.classes)
            return perceptron(records.shape, records.classes, HIDDEN[name])

    def trained(self, model: nn.Module | None = None, local: Local | None = None) -> History:
        """A federation, perhaps of another model or with other local training."""
        data = Data(self.records.x[self.sample.members], self.records.y[self.sample.members])
        rng = np.random.default_rng(self.seed)
        return run(model or self.model(), self.sample.shares, data, self.training, rng, self.device, local=local)

    @cached_property
    def shares(self) -> Shares:
        """What the clients own, as post-protections take it."""
        members = self.sample.members
        return Shares(
            torch.tensor(self.records.x, device=self.device),
            torch.tensor(self.records.y, device=self.device),
            tuple(members[rows] for rows in self.sample.shares.rows),
            self.sample.held_out,
        )

    @cached_property
    def held_out(self) -> NDArray[np.int64]:
        """The held-out records of all clients."""
        return np.concatenate(self.sample.held_out)

    def probabilities(self, stack: Stack, rows: NDArray[np.int64]) -> Floats:
        """(n, K): what one model says of the records at these places."""
        found = logits(stack, torch.tensor(self.records.x[rows], device=self.device))[0]
        probabilities: Floats = found.double().softmax(-1).cpu().numpy()
        return probabilities


def as_it_is(probabilities: Floats) -> Floats:
    """The answers of an unprotected model."""
    return probabilities


def plain(federation: Federation) -> Outcome:
    """No protection."""
    return Outcome(federation.plain.final, federation.plain.local, as_it_is)


def protected(federation: Federation) -> Outcome:
    """The federation under the chosen protection."""
    return _KINDS[federation.parameters.protection](federation)


def _post(federation: Federation) -> Outcome:
    """The additional round of P2."""
    chosen = federation.parameters
    is_published = chosen.protection == "p2-published"
    common: dict[str, Any] = {"epsilon": chosen.p2_epsilon}
    common |= {"layers": chosen.p2_layers} if chosen.p2_layers != "own" else {}
    common |= {"epochs": chosen.p2_epochs} if chosen.p2_epochs else {}
    weights: dict[str, Any] = {"gradient": chosen.p2_gradient, "utility": chosen.p2_utility, "cost": chosen.p2_cost}
    protection: PostProtection = AsPublished(**common) if is_published else Corrected(**common, **weights)
    start = chosen.p2_start if chosen.p2_start != "own" else "local" if is_published else "global"
    history = federation.plain
    stack = history.local if start == "local" else history.final.repeated(len(federation.sample.shares.rows))
    clients = protection.protect(stack, federation.shares, np.random.default_rng(federation.seed))
    whose = "clients' models" if start == "local" else "global model"
    note = f"{protection.title} began with the {whose}."
    return Outcome(average(clients, federation.sample.shares.sizes), clients, as_it_is, note)


def _loss(federation: Federation) -> Outcome:
    chosen = federation.parameters
    loss: TrainingLoss = (
        RelaxLoss(chosen.relax_alpha) if chosen.protection == "relaxloss" else LabelSmoothing(chosen.smoothing)
    )
    return _of(federation.trained(local=Local(loss)))


def _dropout(federation: Federation) -> Outcome:
    return _of(federation.trained(with_dropout(federation.model(), federation.parameters.dropout)))


def _early(federation: Federation) -> Outcome:
    """The round after which the global model was best on the held-out records."""
    rows, history = federation.held_out, federation.plain
    x, y = (torch.tensor(each[rows], device=federation.device) for each in (federation.records.x, federation.records.y))
    # What the server sends in a round is the average of the round before.
    globals_ = [each.before for each in history.rounds[1:]] + [history.final]
    losses = [-float(log_probabilities(stack, x, y).mean()) for stack in globals_]
    best = int(np.argmin(losses))
    note = f"Early stopping kept round {best + 1} of {len(losses)}."
    return Outcome(globals_[best], history.rounds[best].after, as_it_is, note)


def _private(federation: Federation) -> Outcome:
    chosen = federation.parameters
    settings = DpSgd(clip=chosen.clip, noise_multiplier=chosen.noise_multiplier, delta=chosen.delta)
    history = federation.trained(local=PrivateLocal(settings))
    size = int(federation.sample.shares.sizes.min())
    counted = replace(settings, epochs=chosen.epochs, batch=chosen.batch).epsilon(size, chosen.rounds)
    note = f"DP-SGD: epsilon {counted:.2f} at delta {chosen.delta:g} for each record of the smallest client."
    return replace(_of(history), note=note)


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
    return Outcome(history.final, history.local, lambda given: protection(given, rng), note)


def _of(history: History) -> Outcome:
    return Outcome(history.final, history.local, as_it_is)


_KINDS: dict[str, Callable[[Federation], Outcome]] = {
    "none": plain,
    "p2-published": _post,
    "p2-corrected": _post,
    "label-smoothing": _loss,
    "relaxloss": _loss,
    "dropout": _dropout,
    "early-stopping": _early,
    "dp-sgd": _private,
    "memguard": _answers,
    "top-k": _answers,
    "rounded": _answers,
}
