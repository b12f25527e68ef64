"""A client of federated learning: its model, its records, and the training that the server prescribes."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

Shared = dict[str, Tensor]
"""A gradient or an update by parameter name."""


@dataclass(frozen=True)
class Steps:
    """Local training that ends in an update: the weights before it minus the weights after it."""

    epochs: int = 1
    """Passes over the client's records."""
    batch: int = 0
    """Records of one step; 0: all of them."""
    rate: float = 0.1
    """The learning rate of plain stochastic gradient descent."""

    def count(self, records: int) -> int:
        """Steps that a client with this many records takes."""
        return self.epochs * math.ceil(records / (self.batch or records))


@dataclass(frozen=True)
class Client:
    """What one client holds when a round begins. Nothing may write into it."""

    model: nn.Module
    """The architecture; it is called with `parameters` and never with its own weights."""
    parameters: Mapping[str, Tensor]
    """The weights that the server sent."""
    inputs: Tensor
    """(records, ...) private records."""
    labels: Tensor
    """(records,) their classes."""
    steps: Steps | None = None
    """None: the client shares a gradient; otherwise the update of these steps."""
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    penalty: Callable[[nn.Module], Tensor] | None = None
    """What the loss has besides the cross-entropy, after a forward pass; for models that have a term of their own."""

    def __len__(self) -> int:
        """The number of records."""
        return len(self.labels)

    def with_records(self, inputs: Tensor, labels: Tensor) -> "Client":
        """The same client with other records."""
        return replace(self, inputs=inputs, labels=labels)

    def loss(self, parameters: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy of these records, and the penalty."""
        weights = (dict(parameters), dict(self.buffers))
        error = functional.cross_entropy(functional_call(self.model, weights, (inputs,)), labels)
        return error if self.penalty is None else error + self.penalty(self.model)

    def gradient(self, parameters: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Shared:
        """The gradient of the mean loss of these records."""
        leaves = {name: values.detach().requires_grad_(True) for name, values in parameters.items()}
        slopes = torch.autograd.grad(self.loss(leaves, inputs, labels), list(leaves.values()))
        return dict(zip(leaves, slopes, strict=True))

    def gradients(self, parameters: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Shared:
        """The gradient of every single record, (records, ...) by name."""

        def alone(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return self.loss(weights, x[None], y[None])

        found: Shared = vmap(grad(alone), in_dims=(None, 0, 0))(dict(parameters), inputs, labels)
        return found

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """The places of the records of every local step; each pass over them has its own order."""
        steps = self.steps or Steps()
        for _ in range(steps.epochs):
            if not 0 < steps.batch < len(self):
                yield torch.arange(len(self), device=self.labels.device)
                continue
            order = torch.randperm(len(self), generator=generator, device=generator.device)
            yield from order.to(self.labels.device).split(steps.batch)


Gradient = Callable[[Client, Mapping[str, Tensor], Tensor, Tensor], Shared]
"""How the gradient of a step is computed: client, weights, inputs and labels."""


def plain(client: Client, parameters: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Shared:
    """The gradient without any protection."""
    return client.gradient(parameters, inputs, labels)


def train(client: Client, generator: torch.Generator, gradient: Gradient = plain) -> Shared:
    """What the client shares: the gradient over all of its records, or the update of its local steps."""
    if client.steps is None:
        return gradient(client, client.parameters, client.inputs, client.labels)
    weights = {name: values.detach().clone() for name, values in client.parameters.items()}
    for places in client.batches(generator):
        slopes = gradient(client, weights, client.inputs[places], client.labels[places])
        weights = {name: values - client.steps.rate * slopes[name] for name, values in weights.items()}
    return {name: before.detach() - weights[name] for name, before in client.parameters.items()}


def norm(shared: Mapping[str, Tensor]) -> Tensor:
    """The Euclidean length of all numbers together."""
    return torch.stack([values.square().sum() for values in shared.values()]).sum().sqrt()


def size(shared: Mapping[str, Tensor]) -> int:
    """How many numbers there are."""
    return sum(values.numel() for values in shared.values())
