"""Soteria: the gradient of one dense layer is pruned where it tells most of the input."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Client, Shared
from app.parameters import parameter

FLOOR = 1e-8


@dataclass(frozen=True)
class Soteria(GradientDefence):
    """Drops the columns of the last dense layer's gradient that belong to the most telling features."""

    title: ClassVar[str] = "Soteria"
    source: ClassVar[str] = (
        "Sun, Li, Wang, Yang, Li and Chen, 2021, CVPR, section 4 (the bound on |r - r'|_0): features with the largest "
        "|r_i| / |dr_i/dX|, summed over the batch, are pruned; the defended layer is the last dense one"
    )

    strength: float = parameter(0.5, "Share of the features that are pruned.", minimum=0.0, maximum=0.999)

    def finish(self, client: Client, shared: Shared) -> Shared:
        """The gradient or update with pruned columns. Raises ValueError for a model without a dense layer."""
        name, layer = _last_dense(client.model)
        telling = _telling(client, layer)
        pruned = telling.topk(round(self.strength * len(telling))).indices
        mask = torch.ones_like(telling).index_fill(0, pruned, 0.0)
        weight = f"{name}.weight"
        return {**shared, weight: shared[weight] * mask}


def _last_dense(model: nn.Module) -> tuple[str, nn.Linear]:
    dense = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    if not dense:
        raise ValueError("Soteria protects a dense layer, and this model has none")
    return dense[-1]


def _telling(client: Client, layer: nn.Linear) -> Tensor:
    """(features,): how much each input of `layer` tells of the records, |r_i| / |dr_i/dX| summed over them."""
    kept: list[Tensor] = []
    inputs = client.inputs.detach().clone().requires_grad_(True)
    with layer.register_forward_pre_hook(lambda _, given: kept.append(given[0])):
        functional_call(client.model, (dict(client.parameters), dict(client.buffers)), (inputs,))
    features = kept[0]
    total = torch.zeros_like(features[0])
    for place in range(features.shape[1]):
        (slope,) = torch.autograd.grad(features[:, place].sum(), inputs, retain_graph=True)
        # A feature that is 0 for a record, as a dead ReLU is, has no slope and tells nothing of it.
        total[place] = (features[:, place].abs() / slope.flatten(1).norm(dim=1).clamp_min(FLOOR)).sum()
    return total.detach()
