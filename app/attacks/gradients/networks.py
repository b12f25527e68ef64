"""The networks that gradient attacks are measured on, for images of any size and number of channels, or table rows.

Weights are drawn from a generator, never from torch's global one. Dropout is left out: its mask is not known to a
server, and none of the published experiments uses it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


def build(
    name: str, input_shape: Shape, classes: int, rng: np.random.Generator, device: str = "cpu", spread: float = 0.0
) -> nn.Module:
    """A network with fresh weights, in evaluation mode.

    `input_shape` is (C, H, W), or (d,) for networks of linear layers only. With `spread` 0 the weights follow torch's
    own rule, or that of the network's paper; otherwise they are uniform in [-spread, spread]. Raises ValueError when
    there is no such network or the input is too small for it.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}, only {', '.join(NETWORKS)}")
    with torch.device("meta"):
        network: nn.Module = NETWORKS[name](input_shape, classes)
        _check_input(network, name, input_shape)
    initialise(network.to_empty(device=device), rng, spread or SPREADS.get(name, 0.0))
    return network.eval()


def initialise(network: nn.Module, rng: np.random.Generator, spread: float = 0.0) -> None:
    """Draw all weights anew: uniform in one over the root of the fan-in, torch's own rule, or in [-spread, spread]."""
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**63 - 1)))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = spread or 1.0 / math.sqrt(module.weight[0].numel())
            for tensor in module.parameters(recurse=False):
                nn.init.uniform_(tensor, -bound, bound, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def _check_input(network: nn.Module, name: str, input_shape: Shape) -> None:
    try:
        network.eval()(torch.zeros(1, *input_shape))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"inputs of shape {input_shape} do not suit the network {name!r}") from error


def _flat(shape: Shape) -> int:
    return math.prod(shape)


def _after(features: nn.Sequential, shape: Shape) -> int:
    """Values per image that a stack of layers gives; it runs on the meta device and costs nothing."""
    if len(shape) != 3:
        raise ValueError(f"this network takes images (C, H, W), not {shape}")
    try:
        return features(torch.zeros(1, *shape, device="meta")).numel()
    except RuntimeError as error:
        raise ValueError(f"images of shape {shape} are too small for this network") from error


def _mlp(shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(_flat(shape), 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, classes)
    )


def _fc2(shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(_flat(shape), 256), nn.ReLU(), nn.Linear(256, classes))


def _dlg_features(channels: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """The convolutions of the network of DLG (Zhu et al., 2019), smooth because they stride instead of pooling."""
    layers: list[nn.Module] = []
    for before, stride in ((channels, 2), (12, 2), (12, 1)):
        layers += [nn.Conv2d(before, 12, 5, stride, padding=2), activation()]
    return nn.Sequential(*layers, nn.Flatten())


def _lenet(shape: Shape, classes: int) -> nn.Module:
    features = _dlg_features(shape[0], nn.Sigmoid)
    return nn.Sequential(*features, nn.Linear(_after(features, shape), classes))


def _lenet_relu(shape: Shape, classes: int) -> nn.Module:
    features = _dlg_features(shape[0], nn.ReLU)
    return nn.Sequential(*features, nn.Linear(_after(features, shape), 256), nn.ReLU(), nn.Linear(256, classes))


def _lenet5(shape: Shape, classes: int) -> nn.Module:
    features = nn.Sequential(
        *(nn.Conv2d(shape[0], 6, 5), nn.Sigmoid(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten()),
    )
    head = (nn.Linear(_after(features, shape), 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid())
    return nn.Sequential(*features, *head, nn.Linear(84, classes))


def _cnn(shape: Shape, classes: int) -> nn.Module:
    features = nn.Sequential(
        *(nn.Conv2d(shape[0], 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten()),
    )
    return nn.Sequential(*features, nn.Linear(_after(features, shape), 512), nn.ReLU(), nn.Linear(512, classes))


def _cnn3(shape: Shape, classes: int) -> nn.Module:
    features = nn.Sequential(
        *(nn.Conv2d(shape[0], 64, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
    )
    return nn.Sequential(*features, nn.Linear(_after(features, shape), 200), nn.ReLU(), nn.Linear(200, classes))


class _Residual(nn.Module):
    """Two convolutions with a way around them (He et al., 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.way: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.way = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.way(x))


def _resnet18(shape: Shape, classes: int) -> nn.Module:
    """With the stem for small images: a 3 x 3 convolution without pooling."""
    if len(shape) != 3:
        raise ValueError(f"this network takes images (C, H, W), not {shape}")
    layers: list[nn.Module] = [nn.Conv2d(shape[0], 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    before = 64
    for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_Residual(before, after, stride), _Residual(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of the convolutions of configuration D; 0 is a pooling."""


def _vgg_features(shape: Shape) -> Iterator[nn.Module]:
    if len(shape) != 3:
        raise ValueError(f"this network takes images (C, H, W), not {shape}")
    before, side = shape[0], min(shape[1:])
    for channels in _VGG16:
        if channels:
            yield nn.Conv2d(before, channels, 3, padding=1)
            yield nn.ReLU()
            before = channels
        elif side > 1:
            # A small image is pooled until one value is left, which lets the network take any size.
            yield nn.MaxPool2d(2)
            side //= 2


def _vgg(grid: int, first: int, second: int) -> Callable[[Shape, int], nn.Module]:
    """VGG-16 (Simonyan and Zisserman, 2015) with `grid` x `grid` features before its three linear layers."""

    def network(shape: Shape, classes: int) -> nn.Module:
        head = (nn.Linear(512 * grid * grid, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU())
        pool = (nn.AdaptiveAvgPool2d(grid), nn.Flatten())
        return nn.Sequential(*_vgg_features(shape), *pool, *head, nn.Linear(second, classes))

    return network


NETWORKS: Mapping[str, Callable[[Shape, int], nn.Module]] = MappingProxyType(
    {
        "mlp": _mlp,
        "fc2": _fc2,
        "lenet": _lenet,
        "lenet_relu": _lenet_relu,
        "lenet5": _lenet5,
        "cnn": _cnn,
        "cnn3": _cnn3,
        "resnet18": _resnet18,
        "vgg16": _vgg(7, 4096, 4096),
        "vgg16_small": _vgg(2, 1024, 1024),
    }
)
"""The networks by name: mlp and fc2 are of linear layers only; lenet is DLG's, smooth; lenet5 is the classical one."""

SPREADS: Mapping[str, float] = MappingProxyType({"lenet": 0.5})
"""Half the width of the initial weights where the paper has its own."""
