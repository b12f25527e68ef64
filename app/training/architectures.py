"""Networks that train in seconds: what a reference model is when nobody says otherwise."""

import itertools
import math
from collections.abc import Callable

from torch import nn

Shape = tuple[int, ...]
WIDTH = 128


def perceptron(shape: Shape, classes: int, hidden: tuple[int, ...] = (WIDTH,)) -> nn.Sequential:
    """Fully connected layers with ReLU between them; records of any `shape` are flattened."""
    widths = (math.prod(shape), *hidden)
    layers: list[nn.Module] = [] if len(shape) == 1 else [nn.Flatten()]
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def small_cnn(shape: Shape, classes: int, channels: int = 16) -> nn.Sequential:
    """Two convolutions of 3 x 3, each halved by pooling, and two fully connected layers.

    `shape` is (colours, height, width). Raises ValueError if it is not an image of at least 4 x 4.
    """
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise ValueError(f"records of the shape {shape} are no images of at least 4 x 4")
    colours, height, width = shape
    inner = 2 * channels * (height // 4) * (width // 4)
    return nn.Sequential(
        *(nn.Conv2d(colours, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(inner, 64), nn.ReLU(), nn.Linear(64, classes)),
    )


def default_network(shape: Shape, classes: int) -> Callable[[], nn.Sequential]:
    """Makes a small convolutional network for images of at least 4 x 4, else a perceptron."""
    is_image = len(shape) == 3 and min(shape[1:]) >= 4
    return lambda: small_cnn(shape, classes) if is_image else perceptron(shape, classes)
