"""One seed of the study: the same federation without and with its protection, and every attack on both."""

from collections.abc import Callable

from app.attacks.membership.references import ReferenceCache
from app.experiments.federated_protection import white_box
from app.experiments.federated_protection.federation import Federation
from app.experiments.federated_protection.measuring import measure
from app.experiments.federated_protection.protections import plain, protected
from app.experiments.federated_protection.reporting import Pair

Progress = Callable[[float], None]


def compare(federation: Federation, progress: Progress) -> Pair:
    """What is measured before and after; `progress` is told the share of the work that is done, from 0 to 1."""
    attacked = white_box.attacked(federation) if federation.parameters.attacks != "quick" else None
    cache, measured, note = ReferenceCache(), [], ""
    for done, make in ((0.0, plain), (0.5, protected)):
        outcome = make(federation)
        progress(done + 0.15)
        active = make(attacked) if attacked else None
        progress(done + 0.25)
        measured.append(measure(federation, outcome, cache, active))
        progress(done + 0.5)
        note = outcome.note
    return Pair(measured[0], measured[1], note)
