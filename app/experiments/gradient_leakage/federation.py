"""The federated mode: a federation trains, and the server attacks one client a round. Loads torch."""

import dataclasses

import numpy as np
import torch

from app import federated
from app.attacks.gradients.base import Observation, Progress
from app.experiments.gradient_leakage import study
from app.experiments.gradient_leakage.material import Material
from app.experiments.gradient_leakage.parameters import Parameters
from app.experiments.gradient_leakage.study import Outcome
from app.federated import RULES, Data, FederatedTraining, observe
from app.federated.history import Round

TRAINING_SHARE = 0.3
"""The share of the progress that the federation itself takes."""


def run(
    material: Material, parameters: Parameters, rng: np.random.Generator, device: str, progress: Progress
) -> list[Outcome]:
    """The outcome of every round, whose client may own another number of records."""
    made = study.network(material, parameters, rng, device)
    rule = RULES["dirichlet"](beta=parameters.beta) if parameters.partition == "dirichlet" else RULES["iid"]()
    partition = rule.partition(material.private_y, parameters.clients, int(rng.integers(2**31)))
    training = FederatedTraining(
        rounds=parameters.rounds,
        epochs=max(1, parameters.local_epochs),
        batch=parameters.local_batch,
        rate=parameters.learning_rate,
        momentum=parameters.momentum,
        weight_decay=parameters.weight_decay,
        decay=parameters.decay,
    )
    attacked = rng.integers(parameters.clients, size=parameters.rounds)
    data = Data(material.private_x, material.private_y, material.public_x, material.public_y)
    history = federated.run(
        made,
        partition,
        data,
        training,
        rng,
        device,
        lambda share: progress(TRAINING_SHARE * share),
        keep=lambda seen: seen.only([int(attacked[seen.number])]),
    )
    outcomes = []
    for turn, (seen, client) in enumerate(zip(history.rounds, attacked, strict=True)):
        seen_by = observe(seen, int(client), training, made, material.shape, material.classes)
        rows = partition.rows[int(client)]
        truth = material.private_x[rows][None], material.private_y[rows][None]
        observation = _known(seen_by, truth[1][0], material, parameters, device)
        part = _part(turn, parameters, progress)
        outcome = study.compare(parameters, material, [observation], truth, rng, device, part)
        outcomes.append(dataclasses.replace(outcome, federation=(_row(seen, int(client), len(rows)),)))
    return outcomes


def _part(turn: int, parameters: Parameters, progress: Progress) -> Progress:
    """The progress of the attack on one round as a part of all."""
    part = (1.0 - TRAINING_SHARE) / parameters.rounds
    return lambda share: progress(TRAINING_SHARE + part * (turn + share))


def _row(seen: Round, client: int, records: int) -> tuple[int, int, int, float]:
    return seen.number + 1, client, records, float(seen.accuracy or 0.0)


def _known(
    seen: Observation, labels: np.ndarray, material: Material, parameters: Parameters, device: str
) -> Observation:
    return dataclasses.replace(
        seen,
        labels=torch.tensor(labels, device=device) if parameters.labels == "given" else None,
        public=torch.tensor(material.public_x, device=device),
    )
