"""P2 in a federation: which form, from which models, and what the server makes of it."""

from typing import Any

import numpy as np

from app.defences.p2 import AsPublished, Corrected, Distilled
from app.experiments.federated_protection.federation import Federation, Outcome, as_it_is, snapshots
from app.experiments.federated_protection.parameters import Parameters
from app.federated import average
from app.training import Stack

STARTS = {"p2-published": "local", "p2-corrected": "global", "p2-distilled": "first"}
"""Where each form begins unless it is told otherwise."""
WHOSE = {"local": "the clients' models", "global": "the global model", "first": "the first round's global model"}


def post(federation: Federation) -> Outcome:
    """The outcome of an additional round after the last; all rounds before it were seen as they were."""
    chosen, history, shares = federation.parameters, federation.plain, federation.sample.shares
    start = chosen.p2_start if chosen.p2_start != "own" else STARTS[chosen.protection]
    seen, rng = snapshots(history), np.random.default_rng(federation.seed)
    begin = {"local": history.local, "global": _each(history.final, federation)}
    begin |= {"first": _each(seen[0].server, federation)}
    if chosen.protection == "p2-distilled":
        form: Any = Distilled(**_epochs(chosen))
        clients = form.protect(_each(history.final, federation), federation.shares, rng, pupils=begin[start])
    else:
        form = _poisoning(chosen)
        clients = form.protect(begin[start], federation.shares, rng)
    note = f"{form.title} began with {WHOSE[start]}."
    return Outcome(average(clients, shares.sizes), clients, as_it_is, note, seen)


def _poisoning(chosen: Parameters) -> AsPublished | Corrected:
    common: dict[str, Any] = {"epsilon": chosen.p2_epsilon, **_epochs(chosen)}
    common |= {"layers": chosen.p2_layers} if chosen.p2_layers != "own" else {}
    if chosen.protection == "p2-published":
        return AsPublished(**common)
    return Corrected(**common, gradient=chosen.p2_gradient, utility=chosen.p2_utility, cost=chosen.p2_cost)


def _epochs(chosen: Parameters) -> dict[str, int]:
    return {"epochs": chosen.p2_epochs} if chosen.p2_epochs else {}


def _each(model: Stack, federation: Federation) -> Stack:
    """The model once for every client."""
    return model.repeated(len(federation.sample.shares.rows))
