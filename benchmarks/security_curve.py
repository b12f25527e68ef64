"""The security evaluation curve of one classifier: this project against its peers, accuracy beside processor seconds.

    OMP_NUM_THREADS=1 python -m benchmarks.security_curve [--images 500] [--rounds 3] [--without autoattack]

A convolutional network is trained adversarially on scikit-learn's digits; 500 test images and 16 epsilons from 0 to
0.30 in the max norm make the curve. Every way attacks the same network and the same images, on one thread, and is
judged by the same rule: an input counts as broken at the distance of the closest error that the way returned.

- `minimum norm`: ours as it is by default, one run for the whole curve: towards the three nearest classes and towards
  any, then errors just beyond one of the 16 sizes are drawn under it. Goals: at most a quarter of the CPU of foolbox
  PGD-40 with accuracy no higher anywhere, within 0.5 points of AutoAttack, at least 60x `one at a time`.
- `one pass`: ours with 30 steps towards any wrong class and nothing else (`steps=30, targets=0, polish_steps=0`).
  Goals: at least 15x less CPU than foolbox PGD-40 with accuracy no higher anywhere, 3x less than FMN-100.
- `foolbox PGD-40`: once for each epsilon, with Foolbox's own step; `foolbox FMN-100`: once.
- `one at a time`: the predecessor's way, PGD-50 with batches of one, at every epsilon on what is left, in Foolbox.
  Measured on 20 images and scaled to all: the star says so.
- `AutoAttack`: the authors' code (as packaged by pyautoattack), at three epsilons only, with the seconds of each.

Peers come from benchmarks/requirements.txt; those that are missing are left out.
"""

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.attacks.evasion.base import Box
from app.attacks.evasion.curve import SecurityCurve
from app.attacks.evasion.minimum_norm import MinimumNorm
from app.attacks.evasion.norms import Norm

GRID = np.linspace(0.0, 0.30, 16)
ORACLE = (0.10, 0.18, 0.24)
SINGLES = 20
OURS = ("minimum norm", "one pass")
Distances = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3, help="the median of this many runs is shown")
    parser.add_argument("--without", nargs="*", default=[], choices=["foolbox", "autoattack"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, x, y = task(options.images)
    clean = (model(x).argmax(1) == y).numpy()
    print(f"{len(x)} images, clean accuracy {clean.mean():.1%}, torch {torch.__version__}, one thread\n")
    ways = ours()
    if "foolbox" not in options.without and importlib.util.find_spec("foolbox"):
        ways |= foolbox_ways()
    rows = {name: measured(way, model, x, y, options.rounds) for name, way in ways.items()}
    if "foolbox" not in options.without and importlib.util.find_spec("foolbox"):
        rows["one at a time *"] = one_at_a_time(model, x, y)
    report(rows, clean)
    if "autoattack" not in options.without and importlib.util.find_spec("pyautoattack"):
        oracle(model, x, y, rows)


def task(images: int) -> tuple[nn.Module, Tensor, Tensor]:
    """An adversarially trained network and the test images."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = torch.tensor(digits.images[order][:, None] / 16.0, dtype=torch.float32)
    y = torch.tensor(digits.target[order], dtype=torch.int64)
    return hardened(x[:-500], y[:-500]), x[-images:], y[-images:]


def hardened(x: Tensor, y: Tensor, epochs: int = 40, epsilon: float = 0.15, steps: int = 7) -> nn.Module:
    """Madry et al., 2018: training on PGD's errors, with an epsilon that grows in the first half."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    rounds = epochs * -(-len(x) // 100)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=rounds)
    for epoch in range(epochs):
        bound = epsilon * min(1.0, 2.0 * (epoch + 1) / epochs)
        for rows in torch.randperm(len(x)).split(100):
            delta = (torch.rand_like(x[rows]) * 2.0 - 1.0) * bound
            for _ in range(steps):
                delta.requires_grad_(True)
                loss = nn.functional.cross_entropy(network((x[rows] + delta).clamp(0, 1)), y[rows])
                (slope,) = torch.autograd.grad(loss, delta)
                delta = (delta.detach() + 2.5 * bound / steps * slope.sign()).clamp(-bound, bound)
            optimiser.zero_grad()
            nn.functional.cross_entropy(network((x[rows] + delta).clamp(0, 1)), y[rows]).backward()
            optimiser.step()
            schedule.step()
    return network.eval().requires_grad_(False)


Way = Callable[[nn.Module, Tensor, Tensor], Distances]


def ours() -> dict[str, Way]:
    """Our runs by name."""

    def way(attack: MinimumNorm) -> Way:
        def run(model: nn.Module, x: Tensor, y: Tensor) -> Distances:
            rng = np.random.default_rng(0)
            return closest(model, x, y, [attack.minimise(model, x, y, Norm.LINF, Box(), rng, sizes=GRID[1:].tolist())])

        return run

    return {
        "minimum norm": way(MinimumNorm()),
        "one pass": way(MinimumNorm(steps=30, targets=0, polish_steps=0)),
    }


def foolbox_ways() -> dict[str, Way]:
    """Foolbox's runs by name."""
    import foolbox

    def pgd(model: nn.Module, x: Tensor, y: Tensor) -> Distances:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
        runs = [foolbox.attacks.LinfPGD()(wrapped, x, y, epsilons=float(epsilon))[1] for epsilon in GRID]
        return closest(model, x, y, runs, GRID)

    def fmn(model: nn.Module, x: Tensor, y: Tensor) -> Distances:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
        return closest(model, x, y, [foolbox.attacks.LInfFMNAttack(steps=100)(wrapped, x, y, epsilons=None)[1]])

    return {"foolbox PGD-40": pgd, "foolbox FMN-100": fmn}


def one_at_a_time(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, Distances]:
    """The predecessor's way on a few images; the seconds are scaled to all of them."""
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(steps=50, rel_stepsize=0.025, random_start=False)
    start = time.process_time()
    distance = np.full(SINGLES, np.inf)
    for row in range(SINGLES):
        one, label = x[row : row + 1], y[row : row + 1]
        if int(model(one).argmax()) != int(label):
            distance[row] = 0.0
        for epsilon in GRID[1:]:
            if np.isinf(distance[row]):
                _, moved, success = attack(wrapped, one, label, epsilons=float(epsilon))
                distance[row] = min(epsilon, float((moved - one).abs().max())) if bool(success) else np.inf
    return (time.process_time() - start) * len(x) / SINGLES, distance


def closest(model: nn.Module, x: Tensor, y: Tensor, runs: list[Tensor], bounds: np.ndarray | None = None) -> Distances:
    """(N,): the distance of the closest error among the runs; a run within an epsilon is at most that far."""
    distance = np.where((model(x).argmax(1) == y).numpy(), np.inf, 0.0)
    for turn, moved in enumerate(runs):
        error = (model(moved).argmax(1) != y).numpy()
        length = (moved.double() - x.double()).abs().flatten(1).amax(1).numpy()
        if bounds is not None:
            length = np.minimum(length, bounds[turn])
        distance = np.minimum(distance, np.where(error, length, np.inf))
    return distance


def measured(way: Way, model: nn.Module, x: Tensor, y: Tensor, rounds: int) -> tuple[float, Distances]:
    """The median of the processor seconds, and what the last run found."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        distance = way(model, x, y)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), distance


def report(rows: dict[str, tuple[float, Distances]], clean: np.ndarray) -> None:
    """Seconds, the sum of the accuracies and the accuracies, one line for each way."""
    print(f"{'way':<16} {'CPU s':>8} {'sum':>7}  accuracy in % at " + " ".join(f"{e:5.2f}" for e in GRID))
    for name, (seconds, distance) in rows.items():
        curve = SecurityCurve(GRID, distance).accuracy
        print(f"{name:<16} {seconds:8.2f} {curve.sum():7.3f} {'':17}" + " ".join(f"{100 * a:5.1f}" for a in curve))
    print(f"\n* scaled from {SINGLES} images; its accuracies are those of these images")
    base = {name: SecurityCurve(GRID, distance).accuracy for name, (_, distance) in rows.items()}
    for mine in OURS:
        for peer in [name for name in rows if name not in OURS]:
            text = f"{mine}: {rows[peer][0] / rows[mine][0]:.1f}x less CPU than {peer}"
            if "*" not in peer:
                higher = int((base[mine] > base[peer] + 1e-9).sum())
                text += f", accuracy higher at {higher} of {len(GRID)} epsilons"
                text += f", sum {base[mine].sum() - base[peer].sum():+.3f}"
            print(text)


def oracle(model: nn.Module, x: Tensor, y: Tensor, rows: dict[str, tuple[float, Distances]]) -> None:
    """AutoAttack at three epsilons."""
    from pyautoattack import AutoAttack

    print(f"\n{'epsilon':>8} {'AutoAttack':>11} {'CPU s':>8}  " + "  ".join(f"{name:>14}" for name in OURS))
    for epsilon in ORACLE:
        start = time.process_time()
        result = AutoAttack(model, norm="Linf", eps=epsilon, device="cpu", seed=0).run_standard_evaluation(
            x, y, batch_size=len(x)
        )
        seconds = time.process_time() - start
        moved = result if isinstance(result, Tensor) else next(part for part in result if part.shape == x.shape)
        robust = float((model(moved).argmax(1) == y).float().mean())
        mine = [SecurityCurve(np.array([0.0, epsilon]), rows[name][1]).accuracy[1] for name in OURS]
        print(f"{epsilon:8.2f} {robust:11.1%} {seconds:8.1f}  " + "  ".join(f"{value:14.1%}" for value in mine))


if __name__ == "__main__":
    main()
