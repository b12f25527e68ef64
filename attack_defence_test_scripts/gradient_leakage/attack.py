#!/usr/bin/env python3
"""A first attack to build on: read the labels from the last layer, then search for records with the same gradient.

    python3 attack.py 1 4 5                       attack the teams 1, 4 and 5
    python3 attack.py 1 4 5 --steps 3000 --restarts 4

Reads team_<id>_rules.json, _weights.npz, _shared.npz and _public.npz of each opponent, as unzipped from the download,
and writes my_attack.npz, which is ready for upload. Needs torch and numpy, nothing of the platform.

The search is that of Inverting Gradients (Geiping et al., 2020): signed Adam on 1 - cosine + total variation, within
the box, from random starts; the start with the lowest loss wins. The labels are counted by their push on the last bias,
as iDLG (Zhao et al., 2020) reads the one label of a single record.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from client import Update, build, read_records, read_rules, read_weights, share
from torch import Tensor, nn

OUTPUT = "my_attack.npz"


def main() -> int:
    """Attack every opponent that the command line names and write one answer; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teams", type=int, nargs="+", help="ids of the teams to attack")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the files are (default: here)")
    parser.add_argument("--steps", type=int, default=800, help="steps of the search (default 800)")
    parser.add_argument("--restarts", type=int, default=1, help="random starts of each batch (default 1)")
    parser.add_argument("--variation", type=float, default=1e-3, help="weight of the total variation (default 0.001)")
    options = parser.parse_args()
    torch.manual_seed(0)
    answers = {}
    for team in options.teams:
        if not (options.folder / f"team_{team}_shared.npz").exists():
            print(f"Unzip the downloaded file into {options.folder.resolve()} first: team {team} is missing.")
            return 1
        inputs, labels = attack(team, options)
        answers |= {f"team_{team}": inputs, f"team_{team}_labels": labels}
    np.savez(options.folder / OUTPUT, **answers)
    print(f"{options.folder / OUTPUT}: {len(options.teams)} teams, ready for upload")
    return 0


def attack(team: int, options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """The batches of one opponent: inputs (K, B, ...) and labels (K, B)."""
    rules = read_rules(options.folder / f"team_{team}_rules.json")
    weights, shared = (read_weights(options.folder / f"team_{team}_{name}.npz") for name in ("weights", "shared"))
    public, _ = read_records(options.folder / f"team_{team}_public.npz")
    network, batches = build(rules), []
    for number in range(rules["batches"]):
        target = {name: shared[name][number] for name in weights}
        labels = read_labels(target, network, weights, public, rules)
        starts = [search(target, labels, (network, weights, rules), options) for _ in range(options.restarts)]
        loss, found = min(starts, key=lambda start: start[0])
        print(f"team {team}, batch {number + 1}: labels {labels.tolist()}, loss {loss:.2g}")
        batches.append((found.numpy(), labels.numpy()))
    return np.stack([x for x, _ in batches]), np.stack([y for _, y in batches])


def read_labels(target: Update, network: nn.Module, weights: Update, public: Tensor, rules: dict) -> Tensor:
    """The labels that explain the last bias: it is the mean of what the network believes less the labels' shares.

    What the network believes of the private records is taken to be what it believes of public ones.
    """
    bias = target[[name for name, _ in network.named_parameters()][-1]]
    if rules["shared"] == "update":
        steps = rules["local_epochs"] * -(-rules["records"] // (rules["local_batch"] or rules["records"]))
        bias = bias / (rules["learning_rate"] * steps)
    believed = torch.func.functional_call(network, weights, (public,)).softmax(1).mean(0)
    counts = (believed - bias) * rules["records"]
    labels = []
    for _ in range(rules["records"]):
        labels.append(int(counts.argmax()))
        counts[labels[-1]] -= 1.0
    return torch.tensor(sorted(labels))


def search(target: Update, labels: Tensor, client: tuple, options: argparse.Namespace) -> tuple[float, Tensor]:
    """One start: the lowest loss that was met and its inputs."""
    network, weights, rules = client
    x = torch.rand(rules["records"], *rules["shape"], requires_grad=True)
    optimiser = torch.optim.Adam([x], 0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    lowest, best = float("inf"), x.detach().clone()
    for _ in range(options.steps):
        trial = share(network, weights, x, labels, rules, graph=True)
        loss = distance(trial, target) + options.variation * variation(x)
        (slope,) = torch.autograd.grad(loss, x)
        if loss.item() < lowest:
            lowest, best = loss.item(), x.detach().clone()
        x.grad = slope.sign()
        optimiser.step()
        schedule.step()
        x.data.clamp_(0.0, 1.0)
    return lowest, best


def distance(first: Update, second: Update) -> Tensor:
    """1 - the cosine of the angle between two updates."""
    dot = sum((first[name] * second[name]).sum() for name in second)
    squares = (sum(part.square().sum() for part in update.values()) for update in (first, second))
    lengths = [square.sqrt().clamp_min(1e-12) for square in squares]
    return 1.0 - dot / (lengths[0] * lengths[1])


def variation(x: Tensor) -> Tensor:
    """The mean difference of neighbouring pixels; 0 for rows of a table."""
    if x.ndim != 4:
        return x.new_zeros(())
    return (x[..., 1:, :] - x[..., :-1, :]).abs().mean() + (x[..., 1:] - x[..., :-1]).abs().mean()


if __name__ == "__main__":
    sys.exit(main())
