"""One run at one point: clients share, the attack rebuilds, and both are compared. Loads torch."""

import dataclasses
import functools
import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from app import reconstruction_metrics
from app.attacks.gradients import networks
from app.attacks.gradients.base import GradientAttack, LocalTraining, Observation, Progress, Reconstruction, Unsuited
from app.attacks.gradients.imprint import imprinted, sorting
from app.defences.gradients import DEFENCES, Client, GradientDefence, Steps
from app.errors import InvalidUpload, Reason
from app.experiments.gradient_leakage.material import Material
from app.experiments.gradient_leakage.offers import ATTACKS
from app.experiments.gradient_leakage.parameters import Parameters

WARM_UP_BATCH, WARM_UP_RATE = 64, 2e-3


@dataclass(frozen=True)
class Outcome:
    """What the attack made of K private batches of B records."""

    true: NDArray[np.float32]
    """(K, B, ...) in [0, 1]."""
    found: NDArray[np.float32]
    """(K, B, ...): the reconstructions, matched with the true records."""
    labels: NDArray[np.int64]
    """(K, B)."""
    label_accuracy: NDArray[np.float64]
    """(K,)."""
    blind: NDArray[np.float64]
    """(K, B): the errors of the best blind guess."""
    traces: tuple[tuple[float, ...], ...]
    notes: tuple[str, ...]
    seconds: float
    federation: tuple[tuple[int, int, int, float], ...] = ()
    """Round, attacked client, its records, accuracy of the round's average."""

    @property
    def errors(self) -> NDArray[np.float64]:
        """(K, B): mean squared errors."""
        return reconstruction_metrics.mse(self.found, self.true)


def attack(parameters: Parameters) -> GradientAttack:
    """The chosen attack with the chosen budget and prior."""
    module, _, name = ATTACKS[parameters.attack].partition(":")
    made: GradientAttack = getattr(importlib.import_module(f"app.attacks.gradients.{module}"), name)()
    names = {field.name for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    if parameters.iterations and (budgets := names & {"iterations", "evaluations", "steps"}):
        changes[min(budgets)] = parameters.iterations
    if parameters.variation and "variation" in names:
        changes["variation"] = parameters.variation
    return dataclasses.replace(made, **changes)  # type: ignore[type-var]


def defence(parameters: Parameters) -> GradientDefence | None:
    """The chosen protection at the chosen strength; None without one."""
    if parameters.defence == "none":
        return None
    made = DEFENCES[parameters.defence]()
    names = {field.name for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    if parameters.strength and "strength" in names:
        kind = type(made.strength)  # type: ignore[attr-defined]
        made = dataclasses.replace(made, strength=kind(parameters.strength))  # type: ignore[type-var]
    return made


def network(material: Material, parameters: Parameters, rng: np.random.Generator, device: str) -> nn.Module:
    """The model that the server sends. Raises InvalidUpload when it does not suit the records."""
    try:
        made = networks.build(parameters.model, material.shape, material.classes, rng, device)
    except ValueError as error:
        rule = f"The records suit the model {parameters.model}."
        raise InvalidUpload([Reason(rule, str(error), "Choose another model or other records.")]) from error
    if parameters.warm_up:
        _warm_up(made, material, parameters.warm_up, rng, device)
    if parameters.attack == "rtf":
        # The server of this attack is malicious: it puts a layer of its own before the model.
        sorted_by = sorting(parameters.bins, torch.tensor(material.public_x), parameters.records, rng)
        made = imprinted(made, material.shape, *sorted_by)
    return made.requires_grad_(False)


def _warm_up(made: nn.Module, material: Material, epochs: int, rng: np.random.Generator, device: str) -> None:
    x, y = (torch.tensor(part, device=device) for part in (material.public_x, material.public_y))
    optimiser = torch.optim.Adam(made.parameters(), WARM_UP_RATE)
    made.train()
    for _ in range(epochs):
        for rows in torch.tensor(rng.permutation(len(y)), device=device).split(WARM_UP_BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(made(x[rows]), y[rows]).backward()
            optimiser.step()
    made.eval()


def run(
    material: Material, parameters: Parameters, rng: np.random.Generator, device: str, progress: Progress
) -> Outcome:
    """Every victim shares one thing, and the attack rebuilds all of their batches together."""
    made = network(material, parameters, rng, device)
    shape = (parameters.victims, parameters.records)
    count = parameters.victims * parameters.records
    true = material.private_x[:count].reshape(*shape, *material.shape)
    labels = material.private_y[:count].reshape(shape)
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**63 - 1)))
    protection = defence(parameters)
    observed = [
        _observe(made, batch, material, (parameters, protection), generator) for batch in zip(true, labels, strict=True)
    ]
    return compare(parameters, material, observed, (true, labels), rng, device, progress)


def _observe(
    made: nn.Module,
    batch: tuple[NDArray, NDArray],
    material: Material,
    how: tuple[Parameters, GradientDefence | None],
    generator: torch.Generator,
) -> Observation:
    parameters, protection = how
    device = generator.device
    x, y = (torch.tensor(part, device=device) for part in batch)
    weights = {name: values.detach() for name, values in made.named_parameters()}
    steps = Steps(parameters.local_epochs, parameters.local_batch, parameters.learning_rate)
    buffers = dict(made.named_buffers())
    client = Client(made, weights, x, y, steps if parameters.local_epochs else None, buffers)
    shared = (protection or DEFENCES["undefended"]()).protect(client, generator)
    training = LocalTraining(steps.epochs, steps.batch, (steps.rate,)) if parameters.local_epochs else None
    is_adaptive = parameters.adaptive and protection is not None
    return Observation(
        model=made,
        parameters=weights,
        shared={name: shared[name] for name in weights},
        records=len(y),
        input_shape=material.shape,
        classes=material.classes,
        training=training,
        buffers=buffers,
        labels=y if parameters.labels == "given" else None,
        transform=functools.partial(protection.transform, generator=generator) if is_adaptive and protection else None,
        public=torch.tensor(material.public_x, device=device),
    )


def compare(
    parameters: Parameters,
    material: Material,
    observed: Sequence[Observation],
    truth: tuple[NDArray, NDArray],
    rng: np.random.Generator,
    device: str,
    progress: Progress,
) -> Outcome:
    """Let the attack work on what was observed, and match its records with the true ones.

    Raises InvalidUpload when it cannot work from these observations.
    """
    begin = time.perf_counter()
    try:
        results = attack(parameters)(observed, rng, device, progress)
    except Unsuited as error:
        rule = f"The attack {parameters.attack} can work from what is shared."
        raise InvalidUpload([Reason(rule, str(error), "Choose another attack, model or way of sharing.")]) from error
    seconds = time.perf_counter() - begin
    true, labels = truth
    guess = reconstruction_metrics.blind_guess(material.public_x, true.shape[1], rng)
    blind = reconstruction_metrics.match(np.broadcast_to(guess, true.shape), true).inputs
    matched = reconstruction_metrics.match(_inputs(results, true, guess), true).inputs
    given = np.stack([one.labels.cpu().numpy() for one in results])
    return Outcome(
        true=true,
        found=matched,
        labels=labels,
        label_accuracy=reconstruction_metrics.label_accuracy(given, labels),
        blind=reconstruction_metrics.mse(blind, true),
        traces=tuple(one.trace for one in results if one.trace),
        notes=tuple(sorted({one.note for one in results if one.note})),
        seconds=seconds,
    )


def _inputs(results: Sequence[Reconstruction], true: NDArray, guess: NDArray) -> NDArray[np.float32]:
    """(K, B, ...) in [0, 1]; the blind guess stands where an attack gave no number."""
    stacked = np.stack([one.inputs.detach().cpu().numpy() for one in results]).reshape(true.shape)
    return np.where(np.isfinite(stacked), stacked, guess).clip(0.0, 1.0).astype(np.float32)
