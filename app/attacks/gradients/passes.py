"""Layers as the four sweeps that the slope of a gradient's distance takes, each written out; see `sweeps`.

Values between layers are (P, B, d), or images (P, B, H, W, C): with the channels last a convolution's patches are
copied in long runs, and its gradient, as that of a linear layer, is errors^T inputs with one row for each patch.
A pass serves one evaluation, and remembers in each sweep what the later ones need:

- `forward`: inputs to outputs;
- `backward`: the loss's slope by the outputs to that by the inputs, as in training;
- `tangent`: how the outputs change as the weights move along the pull of the distance, given how the inputs do;
- `reverse`: the slope of that change of the loss by the outputs to that by the inputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad


class Pass(ABC):
    """One layer in one evaluation; the sweeps are called in their order, each once."""

    @abstractmethod
    def forward(self, h: Tensor) -> Tensor:
        """The outputs."""

    @abstractmethod
    def backward(self, e: Tensor, onwards: bool) -> Tensor:
        """The slope by the inputs; anything where it does not go `onwards` to another layer."""

    @abstractmethod
    def tangent(self, t: Tensor | None) -> Tensor | None:
        """The change of the outputs; None stands for none, before the first layer with weights."""

    @abstractmethod
    def reverse(self, u: Tensor) -> Tensor:
        """The slope by the inputs of the change of the loss."""


class Flat(Pass):
    """Images to rows, in PyTorch's order."""

    def __init__(self, module: nn.Module) -> None:
        """Nothing of the module matters."""

    def forward(self, h: Tensor) -> Tensor:
        """As of `Pass`."""
        self._shape = h.shape
        return h.movedim(4, 2).flatten(2) if h.ndim == 5 else h

    def backward(self, e: Tensor, onwards: bool) -> Tensor:
        """As of `Pass`."""
        return self._back(e)

    def tangent(self, t: Tensor | None) -> Tensor | None:
        """As of `Pass`."""
        return t if t is None or t.ndim == 3 else t.movedim(4, 2).flatten(2)

    def reverse(self, u: Tensor) -> Tensor:
        """As of `Pass`."""
        return self._back(u)

    def _back(self, rows: Tensor) -> Tensor:
        if len(self._shape) == 3:
            return rows
        problems, batch, height, width, channels = self._shape
        return rows.reshape(problems, batch, channels, height, width).movedim(2, 4).contiguous()


class Activation(Pass):
    """A function of every value by itself."""

    def __init__(self, module: nn.Module) -> None:
        """Raises KeyError for a module that is not among ACTIVATIONS."""
        self._rule, self._module = ACTIVATIONS[type(module)], module

    def forward(self, h: Tensor) -> Tensor:
        """As of `Pass`."""
        value, self._slope, self._bend = self._rule(h, self._module)
        return value

    def backward(self, e: Tensor, onwards: bool) -> Tensor:
        """As of `Pass`."""
        self._errors = e
        return e * self._slope

    def tangent(self, t: Tensor | None) -> Tensor | None:
        """As of `Pass`."""
        self._change = t
        return None if t is None else t * self._slope

    def reverse(self, u: Tensor) -> Tensor:
        """As of `Pass`."""
        if self._change is None or self._bend is None:
            return u * self._slope
        return torch.addcmul(u * self._slope, self._change * self._bend, self._errors)


POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool(Pass):
    """Every output is one of the inputs."""

    def __init__(self, module: nn.Module) -> None:
        """Of nn.MaxPool2d."""
        self._options = {name: getattr(module, name) for name in POOL}

    def forward(self, h: Tensor) -> Tensor:
        """As of `Pass`."""
        self._shape = h.shape
        found, places = max_pool2d(first(h), return_indices=True, **self._options)
        found = last(found)
        self._places, self._grid = last(places).flatten(1, 2), (*h.shape[:2], *found.shape[1:])
        return found.reshape(self._grid)

    def backward(self, e: Tensor, onwards: bool) -> Tensor:
        """As of `Pass`."""
        return self._back(e)

    def tangent(self, t: Tensor | None) -> Tensor | None:
        """As of `Pass`."""
        return None if t is None else t.flatten(0, 1).flatten(1, 2).gather(1, self._places).reshape(self._grid)

    def reverse(self, u: Tensor) -> Tensor:
        """As of `Pass`."""
        return self._back(u)

    def _back(self, values: Tensor) -> Tensor:
        problems, batch, height, width, channels = self._shape
        empty = values.new_zeros(problems * batch, height * width, channels)
        return empty.scatter_add(1, self._places, values.reshape(len(empty), -1, channels)).reshape(self._shape)


class AvgPool(Pass):
    """Means of windows that do not overlap."""

    def __init__(self, module: nn.Module) -> None:
        """Of nn.AvgPool2d without padding, whose stride is its size."""
        size = module.kernel_size
        self._size: tuple[int, int] = (size, size) if isinstance(size, int) else size  # type: ignore[assignment]

    def forward(self, h: Tensor) -> Tensor:
        """As of `Pass`."""
        self._shape = h.shape
        found = last(avg_pool2d(first(h), self._size))
        return found.reshape(*h.shape[:2], *found.shape[1:])

    def backward(self, e: Tensor, onwards: bool) -> Tensor:
        """As of `Pass`."""
        return self._back(e)

    def tangent(self, t: Tensor | None) -> Tensor | None:
        """As of `Pass`."""
        return None if t is None else self.forward(t)

    def reverse(self, u: Tensor) -> Tensor:
        """As of `Pass`."""
        return self._back(u)

    def _back(self, values: Tensor) -> Tensor:
        (down, across), (problems, batch, height, width, channels) = self._size, self._shape
        rows, columns = values.shape[2:4]
        shared = (values / (down * across))[:, :, :, None, :, None].expand(-1, -1, -1, down, -1, across, -1)
        whole = shared.reshape(problems, batch, rows * down, columns * across, channels)
        return pad(whole, (0, 0, 0, width - columns * across, 0, height - rows * down))


def first(images: Tensor) -> Tensor:
    """(P B, C, H, W), as PyTorch's own layers take images; no copy."""
    return images.flatten(0, 1).movedim(3, 1)


def last(images: Tensor) -> Tensor:
    """(n, H, W, C) of what PyTorch's own layers give."""
    return images.movedim(1, 3)


Curve = tuple[Tensor, Tensor, Tensor | None]
"""Value, slope and, unless it is nowhere, the slope of the slope."""


def _relu(z: Tensor, module: nn.Module) -> Curve:
    value = z.relu()
    return value, value.sign(), None


def _leaky(z: Tensor, module: nn.Module) -> Curve:
    slope = torch.ones_like(z).where(z > 0, module.negative_slope)  # type: ignore[arg-type]
    return z * slope, slope, None


def _sigmoid(z: Tensor, module: nn.Module) -> Curve:
    value = z.sigmoid()
    slope = torch.addcmul(value, value, value, value=-1.0)
    return value, slope, torch.addcmul(slope, slope, value, value=-2.0)


def _tanh(z: Tensor, module: nn.Module) -> Curve:
    value = z.tanh()
    slope = 1.0 - value * value
    return value, slope, -2.0 * value * slope


ACTIVATIONS: Mapping[type[nn.Module], Callable[[Tensor, nn.Module], Curve]] = MappingProxyType(
    {nn.ReLU: _relu, nn.LeakyReLU: _leaky, nn.Sigmoid: _sigmoid, nn.Tanh: _tanh}
)
