"""Membership inference: this project against the usual loops, on one thread, in CPU seconds, scores side by side.

    OMP_NUM_THREADS=1 python -m benchmarks.membership_attacks [--data ../shared/data] [--only shadows,meta,...]

- `shadows`: 32 shadow models, stacked, against the loop of a library (Dataset of arrays, Subset, DataLoader, statistics
  of every batch), a lean DataLoader and a tight loop, on the same batches from the same weights; how far the scores
  are from the tight loop's, how far that is from itself when it only rounds differently, and LiRA's AUC with each.
- `meta`: the meta-calibrated score with 8 references against LiRA with 8 and 64, mean of some targets.
- `end to end`: a model is handed in; 8 references, meta-calibrated score, ROC and bootstrap intervals.
- `rmia`: the population counts for 20,000 x 20,000 ratios against the definition.
- `gradients`: norms of 1,000 records' gradients against one backward pass each.
- `bootstrap`: intervals of AUC and TPR at 0.1 % from 1,000 resamples, against scikit-learn's functions.

Location30 (5,010 records, 446 binary columns, 30 classes) is read from the data folder, or left out without it.
"""

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app import metrics, roc
from app.attacks.membership import lira, rmia
from app.attacks.membership.meta_calibrated import MetaCalibrated
from app.attacks.membership.references import References, halves, identities
from app.training import Recipe, Stack, gradient_norms, logits, perceptron, train
from benchmarks.shadow_training import digits, location30, shadows, timed

LEAKY = Recipe(epochs=30, batch=64, rate=2e-3, optimiser="adam", is_dropping=True)
"""Of the models that the scores are compared on: train accuracy 1.00, test accuracy about .67."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data")
    parser.add_argument("--only", default="shadows,meta,end,rmia,gradients,bootstrap")
    parser.add_argument("--targets", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = options.only.split(",")
    tables = {"digits": digits()} | location30(options.data)
    print(f"torch {torch.__version__}, one thread, CPU seconds\n")
    for name, (x, y) in tables.items() if "shadows" in wanted else ():
        shadows(name, x, y)
    if "Location30" in tables:
        on_location30(*tables["Location30"], wanted, options.targets)
    if "rmia" in wanted:
        counts()
    if "bootstrap" in wanted:
        bootstrap()


def on_location30(x: Tensor, y: Tensor, wanted: list[str], targets: int) -> None:
    """What is measured on this table only."""
    if "meta" in wanted:
        meta(x, y, targets)
    if "end" in wanted:
        end_to_end(x, y)
    if "gradients" in wanted:
        gradients(x[:1000], y[:1000])


def trained(x: Tensor, y: Tensor, models: int, seed: int) -> References:
    """Reference models on halves of all records."""
    rng = np.random.default_rng(seed)
    inside = halves(identities(x.numpy(), y.numpy()), np.arange(len(y)), models, 0, rng)
    fresh = Stack.fresh(lambda: perceptron((x.shape[1],), int(y.max()) + 1), models, rng)
    stack = train(fresh, x, y, [np.flatnonzero(mask) for mask in inside], LEAKY, rng)
    return References(logits(stack, x).numpy(), inside, y.numpy(), len(y))


def meta(x: Tensor, y: Tensor, targets: int) -> None:
    """Few references with a learned score against many with LiRA; a target is never a reference's other half."""
    every = trained(x, y, 64 + 2 * targets, 1)
    chosen = range(64, 64 + 2 * targets, 2)

    def judged(score: Callable[[int, References], np.ndarray], count: int) -> str:
        few = References(every.logits[:count], every.inside[:count], every.y, every.candidates)
        start = time.process_time()
        curves = []
        for target in chosen:
            found, truth = score(target, few), every.inside[target]
            curve = roc.roc(found, truth)
            curves.append((metrics.auc(found, truth), curve.tpr_at(0.01).value, curve.tpr_at(0.001).value))
        middle, spread = np.mean(curves, axis=0), np.std(curves, axis=0)
        seconds = (time.process_time() - start) / targets
        numbers = "   ".join(f"{value:.4f} +- {part:.4f}" for value, part in zip(middle, spread, strict=True))
        return f"{numbers}   {seconds:5.2f} s"

    print(f"Location30, mean and spread of {targets} targets: AUC, TPR at 1 %, TPR at 0.1 %; seconds of one score")
    for count in (8, 64):
        for own in (False, True):
            text = judged(lambda t, r, own=own: lira.online(every.scaled[t], r.scaled, r.inside, own), count)
            print(f"  LiRA online, {'own' if own else 'fixed'} variance, {count:>2} references  {text}")
    for count in (4, 8, 16):
        attack = MetaCalibrated(models=count)
        text = judged(lambda t, r, a=attack: a.score(every.logits[t], r, np.random.default_rng(t)), count)
        print(f"  meta-calibrated, {count:>2} references               {text}")
    print()


def end_to_end(x: Tensor, y: Tensor) -> None:
    """From a model to its ROC with intervals; the target's own training is not counted."""
    target = trained(x, y, 2, 5)

    def work() -> tuple[float, tuple[float, float], roc.Share]:
        references = trained(x, y, 8, 6)
        scores = MetaCalibrated(models=8).score(target.logits[0], references, np.random.default_rng(0))
        areas, _ = roc.roc_of_resamples(scores, target.inside[0], np.random.default_rng(0), (0.001,))
        share = roc.tpr_at_fpr(scores, target.inside[0], 0.001)
        return metrics.auc(scores, target.inside[0]), metrics.percentile_interval(areas), share

    seconds, (area, interval, share) = timed(work)
    print(
        f"end to end, 8 references: {seconds:.2f} s; AUC {area:.4f} [{interval[0]:.4f}, {interval[1]:.4f}],"
        f" TPR at 0.1 % {share.value:.3f} [{share.low:.3f}, {share.high:.3f}]\n"
    )


def counts(n: int = 20_000) -> None:
    """RMIA's counts, by sorting and by definition."""
    rng = np.random.default_rng(0)
    ratios, population = np.exp(rng.normal(size=(2, n)))
    seconds, found = min((timed(lambda: rmia.shares(ratios, population)) for _ in range(5)), key=lambda pair: pair[0])
    tracemalloc.start()
    rmia.shares(ratios, population)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    def definition() -> np.ndarray:
        return np.concatenate([(part[:, None] > population).mean(1) for part in np.split(ratios, 10)])

    slow, expected = timed(definition)
    print(
        f"RMIA, {n} x {n}: {1e3 * seconds:.2f} ms and {peak / 1e6:.1f} MB, by definition {1e3 * slow:.0f} ms"
        f" ({slow / seconds:.0f}x); counts differ by at most {np.abs(found - expected).max() * n:g}\n"
    )


def gradients(x: Tensor, y: Tensor) -> None:
    """The norms of every record's gradient."""
    stack = Stack.seeded(lambda: perceptron((x.shape[1],), 30), [1])
    module = stack.module(0)
    parameters = list(module.parameters())

    def loop() -> Tensor:
        found = []
        for row in range(len(x)):
            loss = functional.cross_entropy(module(x[row : row + 1]), y[row : row + 1])
            slopes = torch.autograd.grad(loss, parameters)
            found.append(torch.sqrt(sum(slope.square().sum() for slope in slopes)))
        return torch.stack(found)

    other = Stack.of([nn.Sequential(nn.Identity(), *module)])
    slow, expected = timed(loop)
    for each in (stack, other):
        # The first call of either way loads what torch loads late.
        gradient_norms(each, x[:9], y[:9])
    fast, found = min((timed(lambda: gradient_norms(stack, x, y)[0].norm(dim=1)) for _ in range(5)), key=lambda p: p[0])
    general, _ = timed(lambda: gradient_norms(other, x, y))
    error = float(((found - expected) / expected).abs().max())
    print(
        f"gradient norms of {len(x)} records: loop {slow:.3f} s, vmap {general:.3f} s ({slow / general:.1f}x),"
        f" closed form {1e3 * fast:.2f} ms ({slow / fast:.0f}x); largest relative difference {error:.0e}\n"
    )


def bootstrap(n: int = 5000, count: int = 1000) -> None:
    """Intervals from resamples."""
    rng = np.random.default_rng(0)
    positive = np.arange(n) % 2 == 0
    scores = rng.normal(size=n) + positive
    fast, (areas, rates) = timed(lambda: roc.roc_of_resamples(scores, positive, rng, (0.001,), count))

    def loop() -> np.ndarray:
        found = []
        for _ in range(count):
            rows = rng.integers(0, n, n)
            fpr, tpr, _ = roc_curve(positive[rows], scores[rows])
            found.append((roc_auc_score(positive[rows], scores[rows]), tpr[np.searchsorted(fpr, 0.001, "right") - 1]))
        return np.array(found)

    slow, found = timed(loop)
    print(
        f"bootstrap, {count} resamples of {n} scores: scikit-learn {slow:.2f} s, ours {fast:.2f} s ({slow / fast:.1f}x)"
    )
    for name, ours, theirs in (("AUC", areas, found[:, 0]), ("TPR at 0.1 %", rates[:, 0], found[:, 1])):
        both = [metrics.percentile_interval(each) for each in (ours, theirs)]
        print(f"  {name}: ours [{both[0][0]:.4f}, {both[0][1]:.4f}], theirs [{both[1][0]:.4f}, {both[1][1]:.4f}]")


if __name__ == "__main__":
    main()
