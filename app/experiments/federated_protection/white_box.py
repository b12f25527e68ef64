"""The white-box attacker of Nasr et al. in a federation: it saw the last round, several, or it meddled with them.

Of some members and of as many new records it knows who is who, and learns from these how gradients of members look;
it is judged by others. Of the clients' models it sees what each client sent, and asks about that client's records; of
the global model it sees the averages, and asks about the records of all. As an active attacker it sends clients the
average after gradient ascent on all records in question: training lowers the loss of members again, and of nobody else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.attacks.membership.white_box import WhiteBox
from app.attacks.membership.white_box_evidence import Evidence, GradientAscent, last_weights, observe
from app.experiments.federated_protection.federation import Federation, Outcome, Snapshot
from app.experiments.federated_protection.told import Told, told
from app.training import Stack

Integers = NDArray[np.int64]
KNOWN = 1000
"""Members, and as many others, of which the attacker knows half; their gradients are kept in memory."""
SEVERAL = 5
"""The last so many rounds are seen, or meddled with."""
LAYERS = 1
"""Weights whose gradients it looks at, from the output on; the last one's hold error and features of a record."""
ATTACKER = WhiteBox()
"""How the attack network is trained."""
GLOBAL, CLIENTS = "global", "clients"


@dataclass(frozen=True)
class Candidates:
    """The records in question: members first, then as many others."""

    rows: Integers
    """(2n,): their places in the data set."""
    owners: Integers
    """(2n,): the client that owns a member; another record is asked about beside the member in the same place."""

    @property
    def is_member(self) -> NDArray[np.bool_]:
        """(2n,): true for the first half."""
        return np.arange(len(self.rows)) < len(self.rows) // 2

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(2n,): whether the attacker knows beforehand who is who; every second pair."""
        return np.tile(np.arange(len(self.rows) // 2) % 2 == 0, 2)


def candidates(federation: Federation) -> Candidates:
    """As many members as others, drawn at random; the same for every outcome of a federation."""
    rng, sample = np.random.default_rng(federation.seed), federation.sample
    count = min(KNOWN, len(sample.members), len(sample.others))
    owner = np.zeros(len(sample.members), np.int64)
    for client, rows in enumerate(sample.shares.rows):
        owner[rows] = client
    chosen = rng.permutation(np.concatenate(sample.shares.rows))[:count]
    count = len(chosen)
    rows = np.concatenate([sample.members[chosen], rng.permutation(sample.others)[:count]])
    return Candidates(rows, np.tile(owner[chosen], 2))


def attacked(federation: Federation) -> Federation:
    """The same federation with a server that sends weights after gradient ascent in the last rounds."""
    x, y = _tensors(federation, candidates(federation).rows)
    ascent = GradientAscent(x, y, federation.parameters.ascent)
    first = federation.parameters.rounds - SEVERAL

    def send(number: int, server: Stack) -> Stack:
        if number < first:
            return server
        moved = ascent(server.forward, server.weights(0))
        return replace(
            server,
            parameters={name: moved[name][None] for name in server.parameters},
            buffers={name: moved[name][None] for name in server.buffers},
        )

    return replace(federation, send=send)


def white_box(federation: Federation, outcome: Outcome, active: Outcome | None = None) -> dict[tuple[str, str], Told]:
    """(attack, "global" or "clients") -> what it learns; `active` is the outcome of the attacked federation."""
    asked = candidates(federation)
    watched = {"white-box": outcome.seen[-1:], "white-box-rounds": outcome.seen[-SEVERAL:]}
    watched |= {"white-box-active": active.seen[-SEVERAL:]} if active else {}
    return {
        (name, whose): _judged(federation, asked, _evidence(federation, asked, seen, whose))
        for name, seen in watched.items()
        for whose in (GLOBAL, CLIENTS)
    }


def _judged(federation: Federation, asked: Candidates, evidence: Evidence) -> Told:
    """What is told of records that the attacker does not know, after learning from those that it knows."""
    device, is_known = evidence.labels.device, asked.is_known
    known, hidden = (torch.from_numpy(np.flatnonzero(side)).to(device) for side in (is_known, ~is_known))
    rng = np.random.default_rng(federation.seed)
    fitted = ATTACKER.fit(evidence.take(known), asked.is_member[is_known], rng)
    return told(fitted.scores(evidence.take(hidden)), asked.is_member[~is_known])


def _evidence(federation: Federation, asked: Candidates, seen: Sequence[Snapshot], whose: str) -> Evidence:
    """What the attacker sees of the candidates, in their order."""
    if whose == GLOBAL:
        return _observed(federation, [(each.server, 0) for each in seen], asked.rows)
    parts, places = [], []
    for client in np.unique(asked.owners):
        mine = np.flatnonzero(asked.owners == client)
        parts.append(_observed(federation, [(each.clients, int(client)) for each in seen], asked.rows[mine]))
        places.append(mine)
    back = np.argsort(np.concatenate(places))
    return Evidence.joined(parts).take(torch.from_numpy(back).to(parts[0].labels.device))


def _observed(federation: Federation, models: Sequence[tuple[Stack, int]], rows: Integers) -> Evidence:
    weights = [stack.weights(model) for stack, model in models]
    x, y = _tensors(federation, rows)
    names = last_weights(weights[0], LAYERS)
    return observe(models[0][0].forward, weights, x, y, federation.records.classes, names)


def _tensors(federation: Federation, rows: Integers) -> tuple[Tensor, Tensor]:
    x, y = federation.records.x[rows], federation.records.y[rows]
    return torch.tensor(x, device=federation.device), torch.tensor(y, device=federation.device)
