#!/usr/bin/env python3
"""A first attack to build on: learn from your opponents' training captures, classify their test captures.

    python3 fingerprinting.py 1 4 5                      attack the teams 1, 4 and 5
    python3 fingerprinting.py 1 4 5 --features cumul     with better features

Reads team_<id>_train.csv.zip and team_<id>_test.csv.zip of each opponent, as unzipped from the download, and writes
my_classification.csv.zip, which is ready for upload. Needs numpy, pandas and scikit-learn, nothing of the platform.
"""

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

OUTPUT = "my_classification.csv.zip"
LONGEST = 5_000
"""Packets of a capture that the raw features look at; hardly any capture is longer."""
POINTS = 100
"""Points at which the cumul features sample the curve of summed sizes."""


def main() -> int:
    """Attack every opponent that the command line names and write one answer; the exit status."""
    options = parse()
    rng = np.random.default_rng(options.seed)
    answers = []
    for team in options.teams:
        try:
            train, test = (
                read(options.folder / f"team_{team}_train.csv.zip"),
                read(options.folder / f"team_{team}_test.csv.zip"),
            )
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            print(
                f"team {team}: {error}\nUnzip the downloaded file into {options.folder.resolve()} first.",
                file=sys.stderr,
            )
            return 1
        answers.append(attack(team, train, test, options, rng))
    answer = pd.concat(answers, ignore_index=True)
    path = options.folder / OUTPUT
    member = {"method": "zip", "archive_name": "my_classification.csv"}
    answer.to_csv(path, index=False, float_format="%.6f", compression=member)
    print(f"{path}: {len(answer)} captures of {len(options.teams)} teams")
    return 0


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teams", type=int, nargs="+", help="ids of the teams to attack")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the files are (default: here)")
    parser.add_argument("--features", choices=sorted(FEATURES), default="raw", help="what to learn from (default raw)")
    parser.add_argument("--classes", type=int, help="number of cells (default: the largest in the training file)")
    parser.add_argument("--trees", type=int, default=260, help="trees in the forest (default 260)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    return parser.parse_args()


def read(path: Path) -> pd.DataFrame:
    """The packets of a csv.zip; ids are whole numbers of up to 19 digits, too long for floating point."""
    ids = dict.fromkeys(("cell_id", "rep", "capture_id"), "int64")
    return pd.read_csv(path, compression="zip", dtype=ids)


def attack(
    team: int, train: pd.DataFrame, test: pd.DataFrame, options: argparse.Namespace, rng: np.random.Generator
) -> pd.DataFrame:
    """One row per test capture of a team: its id, and the probability of each cell."""
    train_sizes, labels = captures(train, ["cell_id", "rep"])
    test_sizes, ids = captures(test, ["capture_id"])
    features = FEATURES[options.features]
    length = min(LONGEST, max(map(len, train_sizes)))
    forest = RandomForestClassifier(options.trees, n_jobs=-1, random_state=int(rng.integers(2**31)))
    forest.fit(features(train_sizes, length), labels["cell_id"])
    classes = options.classes or int(labels["cell_id"].max())
    probabilities = np.zeros((len(ids), classes))
    probabilities[:, forest.classes_ - 1] = forest.predict_proba(features(test_sizes, length))
    frame = pd.DataFrame(probabilities, columns=[f"proba_class_{cell}" for cell in range(1, classes + 1)])
    frame.insert(0, "team_id", team)
    frame.insert(1, "capture_id", ids["capture_id"])
    print(f"team {team}: learnt from {len(labels)} captures, classified {len(ids)}")
    return frame


def captures(packets: pd.DataFrame, keys: list[str]) -> tuple[list[np.ndarray], pd.DataFrame]:
    """The sizes of each capture's packets in order, and the keys of each capture."""
    groups = packets.groupby(keys, sort=True)["direction_size"]
    names = [name if isinstance(name, tuple) else (name,) for name, _ in groups]
    return [sizes.to_numpy() for _, sizes in groups], pd.DataFrame(names, columns=keys)


def raw(sizes: list[np.ndarray], length: int) -> np.ndarray:
    """The sizes as they are, filled up with zeros."""
    matrix = np.zeros((len(sizes), length), np.float32)
    for row, values in zip(matrix, sizes, strict=True):
        row[: len(values)] = values[:length]
    return matrix


def cumul(sizes: list[np.ndarray], length: int) -> np.ndarray:
    """Packets and bytes in each direction, and the curve of summed sizes (Panchenko et al., NDSS 2016)."""
    rows = []
    for values in sizes:
        curve = np.cumsum(values)
        places = np.linspace(0, len(curve) - 1, POINTS)
        totals = [(values > 0).sum(), (values < 0).sum(), values[values > 0].sum(), -values[values < 0].sum()]
        rows.append(np.concatenate([totals, np.interp(places, np.arange(len(curve)), curve)]))
    return np.array(rows, np.float32)


FEATURES = {"raw": raw, "cumul": cumul}


if __name__ == "__main__":
    sys.exit(main())
