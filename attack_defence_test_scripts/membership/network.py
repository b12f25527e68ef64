"""The round's files, a small network, its training and its export, used by the other scripts. Change it."""

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, int], Tensor]
"""(logits, labels, epoch from 0) to the number that training makes small."""


def parser(text: str) -> argparse.ArgumentParser:
    """The options that training needs, with or without protection."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the issued files are (default: here)")
    parser.add_argument("--epochs", type=int, default=100, help="times that every record is seen (default 100)")
    parser.add_argument("--width", type=int, default=256, help="neurons of the hidden layer (default 256)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    parser.add_argument("--output", type=Path, default=Path("my_defence.onnx"), help="file to write")
    return parser


def records(path: Path) -> tuple[Tensor, Tensor]:
    """Inputs (n, ...) and labels (n,) of an npz of the round."""
    with np.load(path) as file:
        return torch.from_numpy(file["x"].astype(np.float32)), torch.from_numpy(file["y"].astype(np.int64))


def classes(folder: Path) -> int:
    """How many classes the round has."""
    return int(json.loads((folder / "about.json").read_text(encoding="utf-8"))["classes"])


def new_network(shape: tuple[int, ...], classes: int, width: int) -> nn.Sequential:
    """One hidden layer; try others."""
    inputs = int(np.prod(shape))
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))


def cross_entropy(logits: Tensor, labels: Tensor, epoch: int) -> Tensor:
    """The loss of training without protection."""
    return functional.cross_entropy(logits, labels)


def train(network: nn.Sequential, x: Tensor, y: Tensor, epochs: int, loss: Loss = cross_entropy) -> nn.Sequential:
    """The network after training on these records."""
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for epoch in range(epochs):
        for rows in torch.randperm(len(x)).split(32):
            optimiser.zero_grad()
            loss(network(x[rows]), y[rows], epoch).backward()
            optimiser.step()
    return network.eval()


def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of records that are classified as labelled."""
    with torch.no_grad():
        return float((network(x).argmax(1) == y).float().mean())


def confidences(logits: Tensor, y: Tensor) -> Tensor:
    """The number log p_y - log(1 - p_y) of each record: near to normally distributed, which probabilities are not."""
    own = logits.gather(1, y[:, None])[:, 0]
    others = logits.scatter(1, y[:, None], -torch.inf).logsumexp(1)
    return own - others


def report_and_export(network: nn.Module, options: argparse.Namespace) -> None:
    """Print what the network knows and what it gives away, and write the file to upload."""
    (x, y), (others_x, others_y) = (records(options.folder / f"{name}.npz") for name in ("training_set", "population"))
    with torch.no_grad():
        members, strangers = confidences(network(x), y), confidences(network(others_x), others_y)
    above = (members[:, None] > strangers).float().mean() + (members[:, None] == strangers).float().mean() / 2
    print(f"accuracy on your training set: {accuracy(network, x, y):.3f}")
    print(f"accuracy on the population:    {accuracy(network, others_x, others_y):.3f}")
    print(f"AUC of the simplest attack:    {float(above):.3f} (0.5 is perfect, and better attacks reach more)")
    with warnings.catch_warnings():
        # The older of torch's two exporters needs no further package.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (x[:1],),
            str(options.output),
            dynamo=False,
            input_names=["records"],
            output_names=["logits"],
            dynamic_axes={"records": {0: "N"}, "logits": {0: "N"}},
        )
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, ready for upload")
