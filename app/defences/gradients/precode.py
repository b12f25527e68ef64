"""PRECODE: a variational bottleneck before the last layer, whose random draw the attacker does not know."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Client
from app.parameters import parameter


class Bottleneck(nn.Module):
    """Features become the mean and the deviation of a normal variable, which is drawn and decoded."""

    def __init__(self, features: int, width: int, generator: torch.Generator) -> None:
        """A bottleneck of `width` variables for this many features; noise is drawn from `generator`."""
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, 2 * width), nn.Linear(width, features)
        self.generator, self.divergence = generator, torch.zeros(())

    def forward(self, features: Tensor) -> Tensor:
        """Decoded features; `divergence` becomes the mean Kullback-Leibler divergence to a standard normal."""
        mean, spread = self.encoder(features).chunk(2, dim=1)
        # Softplus keeps the deviation finite for any weights.
        deviation = nn.functional.softplus(spread - 5.0) + 1e-6
        noise = torch.randn(mean.shape, generator=self.generator, device=self.generator.device, dtype=mean.dtype)
        self.divergence = (deviation**2 + mean**2 - 1.0 - 2.0 * deviation.log()).sum(dim=1).mean() / 2.0
        decoded: Tensor = self.decoder(mean + deviation * noise.to(mean.device))
        return decoded


class WithBottleneck(nn.Module):
    """A model with a bottleneck before its last dense layer."""

    def __init__(self, model: nn.Sequential, bottleneck: Bottleneck) -> None:
        """`model` is a sequence that ends in a dense layer."""
        super().__init__()
        self.body, self.bottleneck, self.head = model[:-1], bottleneck, model[-1]

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.head(self.bottleneck(self.body(x)))
        return logits


@dataclass(frozen=True)
class Precode(GradientDefence):
    """Changes the model: what is shared has the bottleneck's gradients as well, and other names."""

    title: ClassVar[str] = "PRECODE"
    source: ClassVar[str] = (
        "Scheliga, Mäder and Seeland, 2022, WACV; the same authors, 2022, arXiv 2208.04767, break it by "
        "leaving the bottleneck's gradients out of the comparison"
    )

    width: int = parameter(64, "Variables of the bottleneck.", minimum=1, maximum=4096)
    strength: float = parameter(1e-3, "Weight of the divergence in the loss.", minimum=0.0, maximum=10.0)

    def prepare(self, client: Client, generator: torch.Generator) -> Client:
        """The client with the changed model. Raises ValueError for one that is no sequence ending in a dense layer."""
        if not isinstance(client.model, nn.Sequential) or not isinstance(client.model[-1], nn.Linear):
            raise ValueError("PRECODE changes a sequence of layers that ends in a dense one")
        bottleneck = Bottleneck(client.model[-1].in_features, self.width, generator)
        bottleneck.to(client.inputs.device).requires_grad_(False)
        model = WithBottleneck(client.model, bottleneck)
        last = len(client.model) - 1
        given = {_renamed(name, last): values for name, values in client.parameters.items()}
        drawn = {f"bottleneck.{name}": _drawn(values, generator) for name, values in bottleneck.named_parameters()}
        buffers = {_renamed(name, last): values for name, values in client.buffers.items()}
        return replace(client, model=model, parameters={**given, **drawn}, buffers=buffers, penalty=self._penalty)

    def _penalty(self, model: nn.Module) -> Tensor:
        bottleneck = model.get_submodule("bottleneck")
        divergence: Tensor = bottleneck.divergence  # type: ignore[assignment]
        return self.strength * divergence


def _renamed(name: str, last: int) -> str:
    place, _, rest = name.partition(".")
    return f"head.{rest}" if int(place) == last else f"body.{name}"


def _drawn(values: Tensor, generator: torch.Generator) -> Tensor:
    """Weights as torch initialises a dense layer, but from the generator; biases of 0."""
    if values.ndim < 2:
        return torch.zeros_like(values)
    bound = values.shape[1] ** -0.5
    uniform = torch.rand(values.shape, generator=generator, device=generator.device).to(values.device)
    return bound * (2.0 * uniform - 1.0)
