"""Clients for the tests of gradient attacks: real training with torch.optim.SGD, and what it shares."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from app.attacks.gradients.base import LocalTraining, Observation


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The mean gradient of the cross-entropy, by autograd and nothing else; the model is left as it was."""
    client = copy.deepcopy(model)
    nn.functional.cross_entropy(client(x), y).backward()
    return {name: tensor.grad for name, tensor in client.named_parameters()}


def update(model: nn.Module, x: Tensor, y: Tensor, training: LocalTraining) -> tuple[dict[str, Tensor], nn.Module]:
    """The weights before training minus those after it, and the trained client."""
    client = copy.deepcopy(model)
    optimiser = torch.optim.SGD(
        client.parameters(), 1.0, momentum=training.momentum, weight_decay=training.weight_decay
    )
    batch, turn = training.batch or len(x), 0
    for _ in range(training.epochs):
        for rows in torch.arange(len(x)).split(batch):
            optimiser.param_groups[0]["lr"] = training.rate(turn)
            optimiser.zero_grad()
            nn.functional.cross_entropy(client(x[rows]), y[rows]).backward()
            optimiser.step()
            turn += 1
    before = dict(model.named_parameters())
    return {name: (before[name] - after).detach() for name, after in client.named_parameters()}, client


def observe(model: nn.Module, x: Tensor, y: Tensor, training: LocalTraining | None = None, **known) -> Observation:
    """What a client with the records x, y shares."""
    client = model
    shared = gradient(model, x, y)
    if training is not None:
        shared, client = update(model, x, y, training)
    classes = known.pop("classes", 10)
    return Observation(
        model=model,
        parameters={name: tensor.detach().clone() for name, tensor in model.named_parameters()},
        shared=shared,
        records=len(x),
        input_shape=tuple(x.shape[1:]),
        classes=classes,
        training=training,
        buffers={name: tensor.clone() for name, tensor in model.named_buffers()},
        shared_buffers={name: tensor.clone() for name, tensor in client.named_buffers()},
        **known,
    )


def records(shape: tuple[int, ...], count: int, seed: int = 0, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Random records; their labels are distinct as long as there are enough classes."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.random((count, *shape)), dtype=torch.float32)
    return x, torch.tensor(rng.permutation(np.arange(max(count, classes)) % classes)[:count])
