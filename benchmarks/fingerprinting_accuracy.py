"""Every fingerprinting attack on real captures: accuracy, processor seconds and memory, side by side.

    python -m benchmarks.fingerprinting_accuracy [--only NAME ...] [--splits clean time cells] [--seed 0] [--device cpu]

The splits: `clean`, 3 random captures per cell of the SecretStroll captures; `time`, the last 7 captures per cell, so
that the attack learns from earlier days only; `cells`, the Explain-WF traces with the last of three runs as test
(R. Jansen, R. Wails, PoPETs 2023(4)). `predecessor` is the forest of the first Secret Race Strolling as it was: raw
sizes, padded to the longest capture, in float64. Set OMP_NUM_THREADS=1 to compare processor seconds; they cover
learning and answering.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from app import metrics
from app.attacks.fingerprinting import features
from app.attacks.fingerprinting.base import Attack, Problem
from app.attacks.fingerprinting.cumul import Cumul
from app.attacks.fingerprinting.deep_fingerprinting import THOROUGH, DeepFingerprinting, Sequence
from app.attacks.fingerprinting.feature_forest import FeatureForest
from app.attacks.fingerprinting.k_fingerprinting import KFingerprinting
from app.attacks.fingerprinting.nearest_neighbour import NearestNeighbour
from app.attacks.fingerprinting.packet_statistics import packet_statistics
from app.attacks.fingerprinting.random_forest import RandomForest
from app.attacks.fingerprinting.robust_fingerprinting import RobustFingerprinting
from app.traces import Traces

DATA = Path(__file__).resolve().parents[1] / "../shared/data"
CELL_BYTES = 514


@dataclass(frozen=True)
class Predecessor(Attack):
    """The forest of the first platform, with its matrix of 8 bytes per packet of the longest capture."""

    title = "The predecessor's forest, as it was"
    source = "Secret Race Strolling, first edition"

    def scores(self, problem: Problem) -> np.ndarray:
        columns = int(max(problem.train.length.max(), problem.test.length.max()))
        X, X_test = (features.packet_sizes(part, columns).astype(np.float64) for part in (problem.train, problem.test))
        forest = RandomForestClassifier(260, random_state=int(problem.rng.integers(2**31)))
        return forest.fit(X, problem.labels).predict_proba(X_test)


ATTACKS = {
    "predecessor": (Predecessor(), lambda train: 8 * len(train) * int(train.length.max())),
    "random-forest": (RandomForest(), lambda train: features.packet_sizes(train, RandomForest().columns(train)).nbytes),
    "nearest-neighbour": (NearestNeighbour(), lambda train: features.cumul(train).nbytes),
    "k-fingerprinting": (KFingerprinting(), lambda train: packet_statistics(train).nbytes),
    "cumul": (Cumul(), lambda train: features.cumul(train).nbytes),
    "feature-forest": (FeatureForest(), lambda train: FeatureForest().matrix(train).nbytes),
    "deep-fingerprinting": (DeepFingerprinting(), lambda train: Sequence.fitted(train, 192)(train).nbytes),
    "deep-fingerprinting-thorough": (THOROUGH, lambda train: Sequence.fitted(train, 192)(train).nbytes),
    "robust-fingerprinting": (RobustFingerprinting(), lambda train: features.traffic_aggregation(train, 256).nbytes),
}
"""Each attack with the bytes of its training matrix."""


def secretstroll():
    with np.load(DATA / "secretstroll/traces.npz") as data:
        traces = _traces(data["offset"], data["direction_size"], data["dt_us"] * 1e-6)
        return traces, data["cell_id"].astype(np.int32) - 1


def clean(seed):
    traces, labels = secretstroll()
    rng = np.random.default_rng(seed)
    test = np.concatenate([rng.permutation(np.flatnonzero(labels == cell))[:3] for cell in range(100)])
    return traces, labels, np.isin(np.arange(len(labels)), test)


def in_time(seed):
    traces, labels = secretstroll()
    test = np.concatenate([np.flatnonzero(labels == cell)[-7:] for cell in range(100)])
    return traces, labels, np.isin(np.arange(len(labels)), test)


def cells(seed):
    with np.load(DATA / "explainwf_cells.npz") as data:
        offset = np.concatenate([[0], np.cumsum(data["len"], dtype=np.int64)])
        traces = _traces(offset, data["dir"].astype(np.int32) * CELL_BYTES, data["dt_ms"] * 1e-3)
        return traces, data["page"].astype(np.int32), data["run"] == data["run"].max()


SPLITS = {"clean": clean, "time": in_time, "cells": cells}


def _traces(offset, size, gap):
    """Traces from gaps; the first gap of a capture is dropped, because a capture starts at 0."""
    offset = offset.astype(np.int64)
    seconds = np.cumsum(gap)
    return Traces(offset, size.astype(np.int32), seconds - np.repeat(seconds[offset[:-1]], np.diff(offset)))


def measure(name, split, seed, device):
    traces, labels, test = SPLITS[split](seed)
    train, asked = traces.take(np.flatnonzero(~test)), traces.take(np.flatnonzero(test))
    attack, size = ATTACKS[name]
    begun = time.process_time()
    classes = int(labels.max()) + 1
    answer = attack.probabilities(train, labels[~test], asked, classes, np.random.default_rng(seed), device)
    seconds = time.process_time() - begun
    top = metrics.accuracy(answer, labels[test])
    low, high = metrics.wilson(top * test.sum(), int(test.sum()))
    area, loss = metrics.macro_auc(answer, labels[test]), metrics.log_losses(answer, labels[test]).mean()
    interval = f"{top:6.3f} [{low:.3f}, {high:.3f}]"
    print(
        f"{name:<29}{split:<7}{test.sum():>5}  {interval}{area:8.4f}{loss:7.3f}{seconds:9.1f}{size(train) / 1e6:9.1f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS), help="attacks to measure")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    title = f"{'attack':<29}{'split':<7}{'test':>5}   {'top-1 (95 % interval)':<21}"
    print(title + f"{'AUC':>8}{'loss':>7}{'CPU s':>9}{'MB':>9}")
    for split in chosen.splits:
        for name in chosen.only:
            measure(name, split, chosen.seed, chosen.device)


if __name__ == "__main__":
    main()
