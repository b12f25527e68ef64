#!/usr/bin/env python3
"""A first attack to build on: LiRA (Carlini et al., 2022, S&P) on every opponent's model.

    python3 attack.py 1 4 5                       attack the teams 1, 4 and 5
    python3 attack.py 1 4 5 --models 64           with more reference models

Reads team_<id>_model.onnx, team_<id>_candidates.npz and team_<id>_population.npz of each opponent, as unzipped from the
download, and writes my_attack.csv.zip, which is ready for upload. Needs torch, numpy and onnxruntime, nothing of the
platform.
"""

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from network import confidences, new_network, records, train
from torch import Tensor

OUTPUT = "my_attack.csv"


def main() -> int:
    """Attack every opponent that the command line names and write one answer; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teams", type=int, nargs="+", help="ids of the teams to attack")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the files are (default: here)")
    parser.add_argument("--models", type=int, default=16, help="reference models, an even number (default 16)")
    parser.add_argument("--epochs", type=int, default=60, help="of each reference model (default 60)")
    parser.add_argument("--width", type=int, default=256, help="of each reference model (default 256)")
    options = parser.parse_args()
    torch.manual_seed(0)
    lines = ["team_id,record_id,membership_score"]
    for team in options.teams:
        model = options.folder / f"team_{team}_model.onnx"
        if not model.exists():
            print(f"Unzip the downloaded file into {options.folder.resolve()} first: {model} is missing.")
            return 1
        ids, scores = attack(team, model, options)
        lines += [f"{team},{record},{score:.9g}" for record, score in zip(ids.tolist(), scores.tolist(), strict=True)]
    path = options.folder / f"{OUTPUT}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(OUTPUT, "\n".join(lines) + "\n")
    print(f"{path}: {len(options.teams)} teams, ready for upload")
    return 0


def attack(team: int, model: Path, options: argparse.Namespace) -> tuple[np.ndarray, Tensor]:
    """The ids of one opponent's candidates, and a score for each."""
    path = options.folder / f"team_{team}_candidates.npz"
    with np.load(path) as file:
        ids = file["record_id"]
    x, y = records(path)
    more_x, more_y = records(options.folder / f"team_{team}_population.npz")
    logits = answers(model, x)
    seen, members = references(torch.cat([x, more_x]), torch.cat([y, more_y]), logits.shape[1], options)
    scores = likelihood_ratios(confidences(logits, y), seen[:, : len(y)], members[:, : len(y)])
    print(f"team {team}: {len(ids)} candidates, scores from {float(scores.min()):.1f} to {float(scores.max()):.1f}")
    return ids, scores


def answers(path: Path, x: Tensor) -> Tensor:
    """The logits (n, classes) of an opponent's model, or the logarithms of its probabilities."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    values = x.flatten(1) if len(given.shape) == 2 else x
    rows = given.shape[0] if isinstance(given.shape[0], int) else 512
    filled = torch.cat([values, values[-1:].expand(-len(values) % rows, *values.shape[1:])])
    found = [session.run(None, {given.name: part.numpy()})[0] for part in filled.split(rows)]
    outputs = torch.from_numpy(np.concatenate(found)[: len(values)].astype(np.float32))
    sums = outputs.sum(1)
    if bool((outputs >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return outputs.clamp_min(1e-30).log()
    return outputs


def references(x: Tensor, y: Tensor, classes: int, options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Confidences (models, n) of reference models, and which records each of them was trained on.

    They come in pairs: a random half of all records for one, the other half for the other, so that each record is a
    member of exactly half of the models.
    """
    seen, members = [], []
    for _ in range(options.models // 2):
        half = torch.rand(len(x)).argsort() < len(x) // 2
        for rows in (half, ~half):
            network = train(new_network(tuple(x.shape[1:]), classes, options.width), x[rows], y[rows], options.epochs)
            with torch.no_grad():
                seen.append(confidences(network(x), y))
            members.append(rows)
    return torch.stack(seen), torch.stack(members)


def likelihood_ratios(own: Tensor, seen: Tensor, members: Tensor) -> Tensor:
    """Of each record, log N(own; of members) - log N(own; of strangers), with one variance for all records."""
    sides = []
    for side in (members, ~members):
        mean = torch.where(side, seen, 0.0).sum(0) / side.sum(0)
        variance = torch.where(side, (seen - mean) ** 2, 0.0).sum() / side.sum()
        sides.append(-((own - mean) ** 2) / (2 * variance) - variance.log() / 2)
    return sides[0] - sides[1]


if __name__ == "__main__":
    sys.exit(main())
