#!/usr/bin/env python3
"""A first attack to build on: projected gradient descent on every opponent's model.

    python3 attack.py 1 4 5                       attack the teams 1, 4 and 5
    python3 attack.py 1 4 5 --steps 200 --restarts 5

Reads team_<id>_model.onnx and team_<id>_inputs.npz of each opponent, as unzipped from the download, and writes
my_attack.npz, which is ready for upload. Needs torch, numpy and onnx, and opponent.py and pgd.py beside it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from opponent import Opponent
from pgd import pgd
from torch import Tensor

OUTPUT = "my_attack.npz"


def main() -> int:
    """Attack every opponent that the command line names and write one answer; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teams", type=int, nargs="+", help="ids of the teams to attack")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the files are (default: here)")
    parser.add_argument("--steps", type=int, default=50, help="gradient steps (default 50)")
    parser.add_argument("--restarts", type=int, default=2, help="random starts (default 2)")
    options = parser.parse_args()
    torch.manual_seed(0)
    answers = {}
    for team in options.teams:
        model, inputs = (options.folder / f"team_{team}_{name}" for name in ("model.onnx", "inputs.npz"))
        if not model.exists() or not inputs.exists():
            print(f"Unzip the downloaded file into {options.folder.resolve()} first: {model} is missing.")
            return 1
        answers[f"team_{team}"] = attack(team, model, inputs, options)
    np.savez(options.folder / OUTPUT, **answers)
    print(f"{options.folder / OUTPUT}: {len(answers)} teams, ready for upload")
    return 0


def attack(team: int, path: Path, inputs: Path, options: argparse.Namespace) -> np.ndarray:
    """The inputs of one opponent, moved as far as the round allows."""
    with np.load(inputs) as file:
        x, y = torch.from_numpy(file["inputs"]), torch.from_numpy(file["labels"])
        norm, epsilon = str(file["norm"]), float(file["epsilon"])
    network = Opponent(path)
    best = x.clone()
    for _ in range(options.restarts):
        moved = pgd(network, x, y, norm, epsilon, options.steps)
        # An input that is wrong already stays as it was found.
        best = torch.where(wrong(network, best, y), best, moved)
    clean, robust = (~wrong(network, x, y)).sum(), (~wrong(network, best, y)).sum()
    print(f"team {team}: {clean} of {len(x)} right as they are, {robust} within {epsilon:g} ({norm})")
    return best.numpy()


def wrong(network: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Which images are misclassified, shaped so that it chooses between batches."""
    with torch.no_grad():
        return (network(x).argmax(1) != y).reshape(-1, 1, 1, 1)


if __name__ == "__main__":
    sys.exit(main())
