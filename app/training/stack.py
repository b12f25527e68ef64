"""M models of one architecture: a template and tensors with a leading axis of models."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

Weights = dict[str, Tensor]
"""Parameters and buffers by name: of one model, or of M models with a leading axis."""


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Torch's global generators start from `seed` inside, and are as before afterwards."""
    at = torch.device(device)
    with torch.random.fork_rng(devices=[at] if at.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Stack:
    """M models: what they share is the template, what each has of its own is a slice of the tensors."""

    template: nn.Module
    """The architecture, on the meta device and in evaluation mode: it holds no numbers."""
    parameters: Weights
    """Name -> (M, ...) trained tensors."""
    buffers: Weights
    """Name -> (M, ...) tensors that are kept but not trained, such as the statistics of batch normalisation."""

    @classmethod
    def of(cls, modules: Sequence[nn.Module], device: str | torch.device = "cpu") -> "Stack":
        """The stack of some modules of one architecture; their tensors are copied. Raises ValueError if they differ."""
        first = modules[0]
        shapes = _shapes(first)
        if any(_shapes(module) != shapes for module in modules):
            raise ValueError("modules of different architectures cannot be stacked")

        def stacked(named: Callable[[nn.Module], Iterator[tuple[str, Tensor]]]) -> Weights:
            each = [dict(named(module)) for module in modules]
            return {name: torch.stack([own[name].detach() for own in each]).to(device) for name in each[0]}

        template = _filled(first, {id(tensor): tensor.detach().to("meta") for _, tensor in _named(first)})
        return cls(template.eval(), stacked(nn.Module.named_parameters), stacked(nn.Module.named_buffers))

    @classmethod
    def seeded(
        cls, make: Callable[[], nn.Module], seeds: Sequence[int] | np.ndarray, device: str | torch.device = "cpu"
    ) -> "Stack":
        """A fresh model for each seed: the weights that `make` gives after `torch.manual_seed` of it."""
        modules = []
        for seed in seeds:
            with seeded(int(seed)):
                modules.append(make())
        return cls.of(modules, device)

    @classmethod
    def fresh(
        cls,
        make: Callable[[], nn.Module],
        models: int,
        rng: np.random.Generator,
        device: str | torch.device = "cpu",
    ) -> "Stack":
        """`models` fresh models whose seeds are drawn from `rng`."""
        return cls.seeded(make, rng.integers(2**63, size=models), device)

    def __len__(self) -> int:
        """The number of models."""
        return len(next(iter(self.parameters.values())))

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return next(iter(self.parameters.values())).device

    @property
    def tensors(self) -> Weights:
        """All tensors, with the axis of models."""
        return {**self.parameters, **self.buffers}

    @property
    def size(self) -> int:
        """The number of parameters of one model."""
        return sum(tensor[0].numel() for tensor in self.parameters.values())

    def weights(self, model: int) -> Weights:
        """The tensors of one model; views."""
        return {name: tensor[model] for name, tensor in self.tensors.items()}

    def module(self, model: int) -> nn.Module:
        """One model as an ordinary module of its own, on the stack's device and in evaluation mode."""
        tensors = self.weights(model)
        return _filled(self.template, {id(empty): tensors[name].clone() for name, empty in _named(self.template)})

    def take(self, models: Sequence[int] | np.ndarray | slice) -> "Stack":
        """The stack of some of the models, in the order given; a slice gives views, indices give copies."""
        # An empty list would become an array of floats.
        chosen = models if isinstance(models, slice) or len(models) else slice(0)
        at = chosen if isinstance(chosen, slice) else torch.as_tensor(np.asarray(chosen), device=self.device)
        return replace(
            self,
            parameters={name: tensor[at] for name, tensor in self.parameters.items()},
            buffers={name: tensor[at] for name, tensor in self.buffers.items()},
        )

    def repeated(self, times: int) -> "Stack":
        """Each model `times` times, copies of one model next to each other."""
        return self.take(np.repeat(np.arange(len(self)), times))

    def joined(self, other: "Stack") -> "Stack":
        """The models of this stack followed by those of another one of the same architecture."""
        return replace(
            self,
            parameters={name: torch.cat([own, other.parameters[name]]) for name, own in self.parameters.items()},
            buffers={name: torch.cat([own, other.buffers[name]]) for name, own in self.buffers.items()},
        )

    def copied(self) -> "Stack":
        """The same numbers in tensors of their own."""
        return replace(
            self,
            parameters={name: tensor.clone() for name, tensor in self.parameters.items()},
            buffers={name: tensor.clone() for name, tensor in self.buffers.items()},
        )

    def to(self, device: str | torch.device) -> "Stack":
        """The same on a device."""
        return replace(
            self,
            parameters={name: tensor.to(device) for name, tensor in self.parameters.items()},
            buffers={name: tensor.to(device) for name, tensor in self.buffers.items()},
        )

    def forward(self, weights: Mapping[str, Tensor], x: Tensor, is_training: bool = False) -> Tensor:
        """The logits (n, K) of one model with these weights for inputs (n, ...): a pure function for `torch.func`.

        In training, buffers in `weights` are updated in place, as batch normalisation does.
        """
        tensors = {name: weights[first] for name, first in self._names.items()}
        return functional_call(self._training if is_training else self.template, tensors, (x,), tie_weights=False)

    def __call__(self, x: Tensor, is_own: bool = False, is_training: bool = False) -> Tensor:
        """The logits (M, n, K) of all models for common inputs (n, ...), or own ones (M, n, ...) if `is_own`.

        Everything is computed at once: see `logits` for the same in chunks.
        """

        def one(weights: Weights, x: Tensor) -> Tensor:
            return self.forward(weights, x, is_training)

        return vmap(one, in_dims=(0, 0 if is_own else None), randomness="different")(self.tensors, x)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Every place of a tensor in the template -> the name under which it is kept, once, if it is shared.

        `functional_call` would find these out itself, but leaves a module that stands in two places changed.
        """
        first = {id(tensor): name for name, tensor in _named(self.template)}
        return {
            f"{path}.{name}" if path else name: first[id(tensor)]
            for path, module in self.template.named_modules()
            for name, tensor in _named(module, recurse=False, remove_duplicate=False)
        }

    @cached_property
    def _training(self) -> nn.Module:
        return copy.deepcopy(self.template).train()


def _shapes(module: nn.Module) -> tuple[str, dict[str, torch.Size]]:
    """What two modules must have in common: the code in words, and the shapes."""
    return repr(module), {name: tensor.shape for name, tensor in _named(module)}


def _filled(module: nn.Module, tensors: dict[int, Tensor]) -> nn.Module:
    """A copy of a module with other tensors, given by the identity of those that they replace."""
    leaves = {id(tensor) for tensor in module.parameters()}
    # A copy takes what it finds in its memory instead of copying, so that shared tensors stay shared.
    return copy.deepcopy(module, {at: nn.Parameter(new) if at in leaves else new for at, new in tensors.items()})


def _named(module: nn.Module, recurse: bool = True, remove_duplicate: bool = True) -> list[tuple[str, Tensor]]:
    """The parameters and buffers of a module with their names."""
    return [
        *module.named_parameters("", recurse, remove_duplicate),
        *module.named_buffers("", recurse, remove_duplicate),
    ]
