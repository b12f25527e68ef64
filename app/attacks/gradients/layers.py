"""Which linear layers a model runs through, found out by watching it run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from app.attacks.gradients.base import Observation
from app.attacks.gradients.scaling import logits, normalised

RECTIFIERS = (functional.relu, functional.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
"""Everything that PyTorch calls ReLU; `nn.ReLU` comes to the first of them."""
PROBES = 4
"""Random inputs that a model runs on to be watched."""


@dataclass(frozen=True)
class LinearCall:
    """One use of a linear layer: outputs = inputs @ weight.T + bias."""

    weight: str
    bias: str | None
    inputs: Tensor
    """(n, d)."""
    outputs: Tensor
    """(n, m), before what follows."""
    rectified: int = 0
    """How many ReLUs the model has run through before."""


class Watch(TorchFunctionMode):
    """Notes the linear layers that run inside it; nothing is attached to the model."""

    def __init__(self, parameters: Mapping[str, Tensor], opened: int = -1) -> None:
        """`opened`: the number of a ReLU that lets everything pass, from 0."""
        super().__init__()
        self._opened = opened
        self._names = {id(value): name for name, value in parameters.items()}
        self.calls: list[LinearCall] = []
        self.rectified = 0

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in RECTIFIERS:
            self.rectified += 1
            return args[0] if self.rectified == self._opened + 1 else args[0].clamp_min(0)
        result = func(*args, **kwargs)
        if func is functional.linear:
            weight, bias = [*args[1:], *kwargs.values(), None][:2]
            if id(weight) in self._names and args[0].dim() == 2:
                name = self._names.get(id(bias))
                self.calls.append(LinearCall(self._names[id(weight)], name, args[0], result, self.rectified))
        return result


@dataclass(frozen=True)
class Head:
    """Linear layers at the end of a model, with a ReLU between every two, of which the last gives the logits."""

    calls: tuple[LinearCall, ...]
    from_data: bool
    """Whether the first of them takes the records themselves."""


def watched(observation: Observation, inputs: Tensor, opened: int = -1) -> tuple[Watch, Tensor]:
    """A watch that saw the model run on inputs in the range of the records, and the logits."""
    weights = {name: value.to(inputs.device, inputs.dtype) for name, value in observation.parameters.items()}
    with Watch(weights, opened) as seen:
        answer = logits(observation, inputs, weights)
    return seen, answer


def find_head(observation: Observation) -> Head | None:
    """The longest head of the model; None if its logits do not come from a linear layer."""
    inputs = probes(observation)
    with torch.no_grad():
        seen, answer = watched(observation, inputs)
    calls = list(seen.calls)
    if not calls or not torch.equal(calls[-1].outputs, answer):
        return None
    chain = [calls.pop()]
    while calls and _same(chain[0].inputs, calls[-1].outputs.clamp_min(0)):
        chain.insert(0, calls.pop())
    taken = normalised(observation, inputs).flatten(1)
    return Head(tuple(chain), not calls and _same(chain[0].inputs, taken))


def probes(observation: Observation, count: int = PROBES) -> Tensor:
    """(count, *input_shape): inputs all over the range, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count, *observation.input_shape, generator=generator, dtype=torch.float64)
    return observation.low + (observation.high - observation.low) * noise


def _same(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and bool(torch.equal(left, right))
