"""Federated learning: partitions, clients, the server and the loop that joins them.

The rule: every round's updates are kept as observations, because they are what an attacker sees; seeds and shares go
into a manifest, so that a run can be repeated.
"""

from app.federated.averaging import average
from app.federated.history import History, Round
from app.federated.observations import observe
from app.federated.partition import RULES, Dirichlet, FixedClasses, Iid, Partition, PerWriter, Rule
from app.federated.run import Data, Local, honest, run
from app.federated.training import FederatedTraining

__all__ = [
    "RULES",
    "Data",
    "Dirichlet",
    "FederatedTraining",
    "FixedClasses",
    "History",
    "Iid",
    "Local",
    "Partition",
    "PerWriter",
    "Round",
    "Rule",
    "average",
    "honest",
    "observe",
    "run",
]
