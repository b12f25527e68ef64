#!/usr/bin/env python3
"""A client's side of a round: read the issued files, compute the true gradients or updates, write the upload.

    python3 client.py                             writes my_defence.npz: everything, without any protection

Reads rules.json, weights.npz and private.npz as unzipped from your team's issue. Needs torch and numpy, nothing of the
platform.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

Update = dict[str, Tensor]
"""A gradient or an update by parameter name."""


def main() -> None:
    """Compute what an honest client shares, and write it."""
    options = parser(__doc__).parse_args()
    rules, weights = read_rules(options.folder / "rules.json"), read_weights(options.folder / "weights.npz")
    inputs, labels = read_records(options.folder / "private.npz")
    network = build(rules)
    write([share(network, weights, x, y, rules) for x, y in zip(inputs, labels, strict=True)], options.output)


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options that every defence needs."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the issued files are (default: here)")
    parser.add_argument("--output", type=Path, default=Path("my_defence.npz"), help="file to write")
    return parser


def read_rules(path: Path) -> dict:
    """The rules of the round."""
    return json.loads(path.read_text())


def read_weights(path: Path) -> Update:
    """Arrays by name, as tensors; files keep them in alphabetical order."""
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def read_records(path: Path) -> tuple[Tensor, Tensor]:
    """Inputs and labels."""
    with np.load(path) as file:
        return torch.from_numpy(file["inputs"]), torch.from_numpy(file["labels"])


def build(rules: Mapping) -> nn.Sequential:
    """The architecture of the round; the weights that it is born with are never used."""
    shape, classes = rules["shape"], rules["classes"]
    if rules["model"] in ("mlp", "fc2"):
        widths = [200, 200] if rules["model"] == "mlp" else [256]
        return nn.Sequential(nn.Flatten(), *dense([int(np.prod(shape)), *widths, classes]))
    if rules["model"] == "cnn":
        features = nn.Sequential(
            nn.Conv2d(shape[0], 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        return nn.Sequential(*features, *dense([features(torch.zeros(1, *shape)).numel(), 512, classes]))
    smooth = rules["model"] == "lenet"
    layers: list[nn.Module] = []
    for channels, stride in ((shape[0], 2), (12, 2), (12, 1)):
        layers += [nn.Conv2d(channels, 12, 5, stride, padding=2), nn.Sigmoid() if smooth else nn.ReLU()]
    features = nn.Sequential(*layers, nn.Flatten())
    width = features(torch.zeros(1, *shape)).numel()
    return nn.Sequential(*features, *dense([width, classes] if smooth else [width, 256, classes]))


def dense(widths: list[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers[:-1]


def gradient(network: nn.Module, weights: Update, x: Tensor, y: Tensor, *, graph: bool = False) -> Update:
    """The gradient of the mean cross-entropy; `graph` lets an attacker differentiate it once more.

    Labels are classes (B,) or probabilities (B, K).
    """
    leaves = {
        name: values if graph and values.requires_grad else values.detach().requires_grad_(True)
        for name, values in weights.items()
    }
    loss = functional.cross_entropy(functional_call(network, leaves, (x,)), y)
    slopes = torch.autograd.grad(loss, list(leaves.values()), create_graph=graph)
    return dict(zip(leaves, slopes, strict=True))


def share(
    network: nn.Module,
    weights: Update,
    x: Tensor,
    y: Tensor,
    rules: Mapping,
    *,
    graph: bool = False,
    protect: Callable[[Update], Update] = lambda slopes: slopes,
) -> Update:
    """What a client shares by the rules: a gradient, or the update of its local steps; `protect` changes each step."""
    if rules["shared"] == "gradient":
        return protect(gradient(network, weights, x, y, graph=graph))
    now, size = dict(weights), rules["local_batch"] or len(y)
    for _ in range(rules["local_epochs"]):
        for start in range(0, len(y), size):
            rows = slice(start, start + size)
            slopes = protect(gradient(network, now, x[rows], y[rows], graph=graph))
            now = {name: values - rules["learning_rate"] * slopes[name] for name, values in now.items()}
    return {name: weights[name] - now[name] for name in weights}


def write(updates: list[Update], path: Path) -> None:
    """Write what all batches share, batches first, ready for upload."""
    arrays = {name: torch.stack([update[name] for update in updates]).detach().numpy() for name in updates[0]}
    np.savez(path, **arrays)
    print(f"{path}: {len(updates)} batches, {path.stat().st_size:,} bytes, ready for upload")


if __name__ == "__main__":
    main()
