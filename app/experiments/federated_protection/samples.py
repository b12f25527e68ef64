"""Which records are members, held out by the clients, or new to everybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import record_sets
from app.errors import InvalidUpload, Reason
from app.experiments.federated_protection.parameters import Parameters
from app.federated.partition import Dirichlet, FixedClasses, Iid, Partition, Rule
from app.record_sets import RecordSet

Integers = NDArray[np.int64]
FEWEST = 10
"""Records that each client trains on, and that nobody saw, at least."""
MOST = 24_000
"""New records that are asked about, at most."""


@dataclass(frozen=True)
class Sample:
    """One draw of the study; places refer to the whole data set."""

    members: Integers
    shares: Partition
    """Of the members, by their places among them."""
    held_out: tuple[Integers, ...]
    """For each client."""
    others: Integers
    """Records that nobody saw."""


def read(inputs: Mapping[str, Path]) -> RecordSet:
    """The chosen data set, else the embedded digits. Raises InvalidUpload with every reason."""
    if len(inputs) > 1:
        rule = "A study has one data set."
        raise InvalidUpload([Reason(rule, "a table and images", "Choose one of the two files.")])
    for kind, path in inputs.items():
        return record_sets.read(kind, path)
    return record_sets.digits()


def draw(records: RecordSet, parameters: Parameters, rng: np.random.Generator) -> Sample:
    """Members, held-out and new records. Raises InvalidUpload if there are too few for so many clients."""
    chosen = parameters.effective
    # Members and new records come in equal numbers, and held-out ones beside them.
    each = min(chosen.records, int(len(records) / chosen.clients / (2.0 + chosen.held_out)))
    if each < FEWEST:
        rule = f"Every client trains on at least {FEWEST} records, and as many are new to everybody."
        where = f"{len(records):,} records for {chosen.clients} clients"
        raise InvalidUpload([Reason(rule, where, "Choose fewer clients or more data.")])
    members, held = each * chosen.clients, int(each * chosen.held_out) * chosen.clients
    order = rng.permutation(len(records))
    shares = _partition(records.y[order[:members]], chosen, int(rng.integers(2**62)))
    held_out = np.array_split(order[members : members + held], chosen.clients)
    others = order[members + held :][:MOST]
    return Sample(order[:members], shares, tuple(held_out), others)


def _partition(labels: Integers, chosen: Parameters, seed: int) -> Partition:
    rules: dict[str, Rule] = {
        "iid": Iid(),
        "dirichlet": Dirichlet(beta=chosen.beta, least=2),
        "fixed-classes": FixedClasses(chosen.client_classes),
    }
    try:
        return rules[chosen.partition].partition(labels, chosen.clients, seed)
    except ValueError as error:
        rule = "The records suffice for the chosen partition."
        raise InvalidUpload([Reason(rule, str(error), "Choose another partition, or fewer clients.")]) from error
