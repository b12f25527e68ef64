"""P2 on the real Adult data: the reference and the over-fitted configuration, without protection and with each form.

    python -m benchmarks.p2 ../shared/data/adult [--seeds 2] [--only overfitted] [--arms none "corrected, global"]

The reference configuration is the published one: 14 columns with codes for categories, ten clients of 2,400 records,
ten rounds of five epochs. The over-fitted one has 108 columns, 240 records a client, and twenty epochs of Adam. The
attacks are those that need nothing but the model, against 24,000 records that nobody saw; one thread.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from app.attacks.membership.references import ReferenceCache
from app.experiments.federated_protection import measuring, protections, samples
from app.experiments.federated_protection.choices import CONFIGURATIONS
from app.experiments.federated_protection.measuring import CLIENTS, GLOBAL, Measured
from app.experiments.federated_protection.parameters import Parameters
from app.experiments.federated_protection.protections import Federation, Outcome
from app.federated.partition import Iid
from app.record_sets import RecordSet

CATEGORIES, NUMBERS = [1, 3, 5, 6, 7, 8, 9, 13], [0, 2, 4, 10, 11, 12]
POOL = 24_000
"""The first half of the records is the members' and the held-out ones', the second half is new to everybody."""
ARMS = {
    "none": {"protection": "none"},
    "published, local": {"protection": "p2-published"},
    "published, global": {"protection": "p2-published", "p2_start": "global"},
    "corrected, global": {"protection": "p2-corrected"},
    "corrected, local": {"protection": "p2-corrected", "p2_start": "local"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adult", type=Path, help="folder with adult.data and adult.test")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", choices=("reference", "overfitted"))
    parser.add_argument("--arms", nargs="*", choices=tuple(ARMS), default=tuple(ARMS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    configurations = {"reference": codes, "overfitted": one_hot}
    for name in [chosen.only] if chosen.only else configurations:
        encode = configurations[name]
        records = encode(*table(chosen.adult))
        majority = np.bincount(records.y).max() / len(records)
        print(f"\n{name}: {records.shape[0]} columns, majority class {majority:.4f}", flush=True)
        print(f"{'':<18} {'accuracy':>16} {'global AUC':>21} {'clients AUC':>21} {'CPU s':>7}")
        print(f"{'':<18} {'new':>8} {'member':>7} " + 2 * f"{'loss':>7}{'conf':>7}{'grad':>7} ")
        arms = {arm: settings for arm, settings in ARMS.items() if arm in chosen.arms}
        found: dict[str, list[tuple[Measured, float]]] = {arm: [] for arm in arms}
        for seed in range(chosen.seeds):
            for arm, result in measured(records, name, arms, seed):
                found[arm].append(result)
        for arm, results in found.items():
            show(arm, results)


def table(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """All 48,842 rows; the first line of adult.test is a comment."""
    options = {"header": None, "skipinitialspace": True}
    parts = [pd.read_csv(folder / "adult.data", **options), pd.read_csv(folder / "adult.test", skiprows=1, **options)]
    rows = pd.concat(parts, ignore_index=True)
    return rows, rows[14].str.rstrip(".").eq(">50K").to_numpy().astype(np.int64)


def scaled(rows: pd.DataFrame) -> np.ndarray:
    values = rows[NUMBERS].to_numpy(float)
    return (values - values.min(0)) / (values.max(0) - values.min(0))


def codes(rows: pd.DataFrame, y: np.ndarray) -> RecordSet:
    """The published 14 columns."""
    x = np.zeros((len(rows), 14), np.float32)
    x[:, NUMBERS] = scaled(rows)
    for column in CATEGORIES:
        x[:, column] = np.unique(rows[column].astype(str), return_inverse=True)[1]
    return RecordSet(x, y, 2)


def one_hot(rows: pd.DataFrame, y: np.ndarray) -> RecordSet:
    """108 columns."""
    parts = [scaled(rows), *(pd.get_dummies(rows[column]).to_numpy(float) for column in CATEGORIES)]
    return RecordSet(np.concatenate(parts, axis=1).astype(np.float32), y, 2)


def sample(records: RecordSet, clients: int, each: int, seed: int) -> samples.Sample:
    """Members in blocks, as published; as many held out for those protections that need some; 24,000 new ones."""
    order = np.random.default_rng(seed).permutation(len(records))
    members = order[: clients * each]
    held = order[clients * each : POOL][: clients * each]
    # The published configuration uses all of the pool for training, so what is held out comes from beyond.
    held = held if len(held) >= clients else order[2 * POOL :]
    shares = Iid(shuffled=False).partition(records.y[members], clients, seed)
    return samples.Sample(members, shares, tuple(np.array_split(held, clients)), order[POOL : 2 * POOL])


def measured(
    records: RecordSet, name: str, arms: dict[str, dict], seed: int
) -> Iterator[tuple[str, tuple[Measured, float]]]:
    """Every arm on the same federation."""
    numbers = CONFIGURATIONS[name]
    drawn = sample(records, numbers["clients"], numbers["records"], seed)
    start = time.process_time()
    trained = Federation(records, drawn, Parameters(configuration=name, attacks="quick").effective, seed, "cpu")
    history = trained.plain
    seconds = time.process_time() - start
    for arm, settings in arms.items():
        chosen = Parameters(configuration=name, attacks="quick", **settings).effective
        federation = Federation(records, drawn, chosen, seed, "cpu")
        federation.__dict__["plain"] = history
        start = time.process_time()
        make: Callable[[Federation], Outcome] = protections.protected
        outcome = make(federation)
        spent = seconds if arm == "none" else time.process_time() - start
        yield arm, (measuring.measure(federation, outcome, ReferenceCache()), spent)


def show(arm: str, results: list[tuple[Measured, float]]) -> None:
    """Means, and the spread over seeds of the AUC of the loss."""

    def mean(values: Iterator[float]) -> float:
        return float(np.mean(list(values)))

    text = f"{arm:<18} {mean(m.accuracy for m, _ in results):8.4f} {mean(m.member_accuracy for m, _ in results):7.4f} "
    for whose in (GLOBAL, CLIENTS):
        for attack in ("loss", "confidence", "gradient-norm"):
            text += f"{mean(m.auc[attack, whose] for m, _ in results):7.4f}"
        text += " "
    losses = ", ".join(f"{m.auc['loss', GLOBAL]:.4f}" for m, _ in results)
    print(f"{text} {mean(spent for _, spent in results):6.1f}   global loss by seed: {losses}")


if __name__ == "__main__":
    main()
