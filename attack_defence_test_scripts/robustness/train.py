#!/usr/bin/env python3
"""A first classifier to build on: train it on the public digits and export it to ONNX.

    python3 train.py                              writes my_defence.onnx
    python3 train.py --seed 3 --hidden 600        with the SPLIT_SEED and HIDDEN that your round's page shows

Needs torch, scikit-learn and numpy, nothing of the platform.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

Move = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""(network, images, labels, share of the training that is done) to the images that are learnt."""


def main() -> None:
    """Train without protection and export."""
    options = parser(__doc__).parse_args()
    network = train(options)
    report_and_export(network, options)


def parser(text: str) -> argparse.ArgumentParser:
    """The options that training needs, with or without protection."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="SPLIT_SEED of the round (default 1)")
    parser.add_argument("--hidden", type=int, default=600, help="HIDDEN of the round (default 600)")
    parser.add_argument("--epochs", type=int, default=20, help="times that every image is seen (default 20)")
    parser.add_argument("--output", type=Path, default=Path("my_defence.onnx"), help="file to write")
    return parser


def public_images(seed: int, hidden: int) -> tuple[Tensor, Tensor]:
    """The public training images (n, 1, 8, 8) between 0 and 1, and their labels.

    The other images are what the referee asks about. To train on them would break the rules, and fool only you: keep
    some of the public images aside and judge your model on those.
    """
    digits = load_digits()
    order = np.random.default_rng([seed, hidden]).permutation(len(digits.target))[hidden:]
    pixels = (digits.images[order, None] / 16.0).astype(np.float32)
    return torch.from_numpy(pixels), torch.from_numpy(digits.target[order].astype(np.int64))


def new_network() -> nn.Sequential:
    """A small convolutional network; try others."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def train(options: argparse.Namespace, move: Move = lambda network, x, y, done: x) -> nn.Sequential:
    """A network that learnt four fifths of the public images, each batch moved by `move` first."""
    torch.manual_seed(options.seed)
    (x, y), _ = four_fifths(options)
    network = new_network()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for epoch in range(options.epochs):
        for rows in torch.randperm(len(x)).split(64):
            batch = move(network, x[rows], y[rows], (epoch + 1) / options.epochs)
            optimiser.zero_grad()
            loss = functional.cross_entropy(network(batch), y[rows])
            loss.backward()
            optimiser.step()
    return network.eval()


def four_fifths(options: argparse.Namespace) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The public images to learn from, and those to judge by."""
    x, y = public_images(options.seed, options.hidden)
    most = len(x) * 4 // 5
    return (x[:most], y[:most]), (x[most:], y[most:])


def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of images that are classified correctly."""
    with torch.no_grad():
        return float((network(x).argmax(1) == y).float().mean())


def report_and_export(network: nn.Module, options: argparse.Namespace) -> None:
    """Print the clean accuracy on the images kept aside, and write the file to upload."""
    _, (x, y) = four_fifths(options)
    print(f"clean accuracy on {len(x)} images kept aside: {accuracy(network, x, y):.3f}")
    with warnings.catch_warnings():
        # The older of torch's two exporters needs no further package.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (x[:1],),
            str(options.output),
            dynamo=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
        )
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, ready for upload")


if __name__ == "__main__":
    main()
