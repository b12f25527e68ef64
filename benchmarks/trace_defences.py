"""What each protection of packet traces costs and what it takes away from attackers who know it.

    python benchmarks/trace_defences.py [--network] [--attacks forest k-fp] [--defences front] [--captures FILE]

Every attacker is trained on captures under the same defence (adaptive). The test set is three captures per cell, which
the training set does not hold; the interval is Wilson's at 95 %. Without a file, simulated captures are used.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.defences.traces import DEFENCES
from app.defences.traces.overhead import overhead
from app.defences.traces.simulator import simulate
from app.traces import Traces

REAL = Path(__file__).resolve().parents[1] / "../shared/data/secretstroll/traces.npz"
TEST_PER_CELL = 3
ATTACKS = {
    "forest": "feature_forest:FeatureForest",
    "k-fp": "k_fingerprinting:KFingerprinting",
    "robust": "robust_fingerprinting:RobustFingerprinting",
    "network": "deep_fingerprinting:DeepFingerprinting",
}


def main() -> None:
    options = parse()
    traces, labels = captures(options.captures)
    chosen = [*options.attacks, *(["network"] if options.network else [])]
    attacks = {name: load(ATTACKS[name]) for name in dict.fromkeys(chosen)}
    print(f"{len(traces):,} captures of {labels.max() + 1} cells, {len(traces.size):,} packets; CPU seconds")
    heads = "".join(f"{name + ' top-1':>15} {'95 %':>13} {'CPU s':>7}" for name in attacks)
    print(f"{'defence':<14} {'bandwidth':>9} {'latency':>8} {'CPU s':>6} {heads}")
    for name in options.defences:
        print(row(name, traces, labels, attacks, options), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["none", *DEFENCES]
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=["forest"])
    parser.add_argument("--network", action="store_true", help="also train the house's network (slow without a GPU)")
    parser.add_argument("--device", default="cpu", help="where the network is trained")
    parser.add_argument("--defences", nargs="+", choices=names, default=names)
    parser.add_argument("--captures", type=Path, default=REAL, help="npz of offset, direction_size, dt_us, cell_id")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def load(place: str):
    """An attack with its defaults; imported when it is asked for, since the network needs Torch."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"app.attacks.fingerprinting.{module}"), name)()


def captures(path: Path) -> tuple[Traces, np.ndarray]:
    """Traces and their cells from 0, from the file or simulated."""
    if not path.exists():
        traces, cell, _ = simulate(100, (32, 36), np.random.default_rng(0))
        return traces, cell - 1
    with np.load(path) as file:
        offset, gaps = file["offset"].astype(np.int64), file["dt_us"].astype(np.int64)
        elapsed = np.cumsum(gaps)
        time_us = elapsed - np.repeat(elapsed[offset[:-1]], np.diff(offset))
        traces = Traces(offset, file["direction_size"].astype(np.int32), time_us / 1e6)
        return traces, file["cell_id"].astype(np.int32) - 1


def row(name, traces, labels, attacks, options) -> str:
    start = time.process_time()
    protect = np.random.default_rng(options.seed)
    defended = traces if name == "none" else DEFENCES[name]().protect(traces, labels, protect)
    seconds = time.process_time() - start
    cost = overhead(traces, defended)
    cells = [f"{name:<14} {cost.bandwidth:>+9.0%} {cost.latency:>+8.0%} {seconds:>6.2f} "]
    for attack in attacks.values():
        start = time.process_time()
        hits, total = test(attack, defended, labels, options)
        low, high = wilson(hits, total)
        cells.append(f"{hits / total:>15.3f} {f'{low:.3f}-{high:.3f}':>13} {time.process_time() - start:>7.1f}")
    return "".join(cells)


def test(attack, traces, labels, options) -> tuple[int, int]:
    """Hits and size of the test set; the split is the same for every defence and attack."""
    rng = np.random.default_rng(options.seed)
    order = np.lexsort((rng.random(len(labels)), labels))
    rank = np.empty(len(labels), int)
    rank[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    held_out, kept = np.flatnonzero(rank < TEST_PER_CELL), np.flatnonzero(rank >= TEST_PER_CELL)
    train, asked, classes = traces.take(kept), traces.take(held_out), int(labels.max()) + 1
    answer = attack.probabilities(train, labels[kept], asked, classes, rng, options.device)
    return int((answer.argmax(1) == labels[held_out]).sum()), len(held_out)


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    share, width = hits / total, z * z / total
    half = z * np.sqrt(share * (1 - share) / total + width / (4 * total))
    return (share + width / 2 - half) / (1 + width), (share + width / 2 + half) / (1 + width)


if __name__ == "__main__":
    main()
