"""The quality of iDLG, DLG and inverting gradients from five local steps, on the predecessor's network.

    OMP_NUM_THREADS=1 python -m benchmarks.gradient_quality [--arms idlg dlg multi] [--victims 10] [--seed 0]

The network is `cnn` for 32 x 32 images, untrained, and all attacks have their default budgets. Victims are crops of
scikit-learn's two sample images with labels drawn at random, which may repeat within a batch. PSNR is Hungarian-matched
within a batch, values clamped to [0, 1].

- `idlg`, `dlg`: one image each, its gradient; the label is read, or searched for together.
- `multi`: ten images, the weight difference after five full-batch steps at rate 1e-4, by exact features of the first
  linear layer and by inverting gradients, with and without smoothed kinks and the end by least squares. The cost of
  one iteration that simulates all steps stands beside it, of which the predecessor took 24,000.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.attacks.gradients import networks
from app.attacks.gradients.base import GradientAttack, LocalTraining, Observation
from app.attacks.gradients.dlg import Dlg
from app.attacks.gradients.embedding import EmbeddingInversion
from app.attacks.gradients.idlg import Idlg
from app.attacks.gradients.ig import InvertingGradients
from benchmarks.gradient_engine import crops, observe, quality

Victim = tuple[Observation, torch.Tensor, torch.Tensor]
"""What a client shared, its images (B, 3, H, W) and labels (B,)."""
RECOVERED = 30.0
"""dB from which an image counts as recovered; the predecessor's that were not stayed below 13."""
PUBLISHED = 24_000
"""Iterations of the predecessor's attack on local steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=ARMS, choices=ARMS)
    parser.add_argument("--victims", type=int, default=10, help="of idlg and dlg")
    parser.add_argument("--batches", type=int, default=1, help="of multi")
    parser.add_argument("--size", type=int, default=32, help="of the images")
    parser.add_argument("--iterations", type=int, default=2000, help="of multi")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread\n")
    for name in options.arms:
        ARMS[name](options)


def clients(count: int, batch: int, size: int, seed: int, training: LocalTraining | None = None) -> list[Victim]:
    """As many batches, with labels that may repeat."""
    rng = np.random.default_rng(seed)
    model = networks.build("cnn", (3, size, size), 10, rng)
    x = crops(count * batch, size, seed=seed).reshape(count, batch, 3, size, size)
    y = torch.tensor(rng.integers(10, size=(count, batch)))
    return [(observe(model, x[row], y[row], training), x[row], y[row]) for row in range(count)]


def measure(name: str, attack: GradientAttack, victims: list[Victim]) -> None:
    start = time.process_time()
    found = attack([one for one, _, _ in victims], np.random.default_rng(1))
    seconds = (time.process_time() - start) / len(victims)
    values = np.concatenate([quality(mine.inputs, x) for mine, (_, x, _) in zip(found, victims, strict=True)])
    right = [sorted(mine.labels.tolist()) == sorted(y.tolist()) for mine, (_, _, y) in zip(found, victims, strict=True)]
    print(f"{name}: {seconds:.1f} CPU s for each gradient or update")
    print(f"  dB      {' '.join(f'{value:.1f}' for value in values)}")
    print(
        f"  median {np.median(values):.1f}, mean {values.mean():.1f}, lowest {values.min():.1f};"
        f" recovered {(values >= RECOVERED).sum()} of {len(values)}; labels right {np.mean(right):.0%}"
    )
    print(f"  loss    {' '.join(f'{mine.score:.1e}' for mine in found)}", flush=True)


def arm_idlg(options: argparse.Namespace) -> None:
    measure("idlg, B=1", Idlg(), clients(options.victims, 1, options.size, options.seed))


def arm_dlg(options: argparse.Namespace) -> None:
    measure("dlg, B=1", Dlg(), clients(options.victims, 1, options.size, options.seed))


def arm_multi(options: argparse.Namespace) -> None:
    training = LocalTraining(epochs=5, learning_rates=(1e-4,))
    victims = clients(options.batches, 10, options.size, options.seed, training)
    attack = InvertingGradients(variation=1e-6, iterations=options.iterations)
    measure("exact features, five steps, B=10", EmbeddingInversion(), victims)
    ways = {
        "smoothed, then finished": replace(attack, smooth=0.3),
        "smoothed, not finished": replace(attack, smooth=0.3, finish=False),
        "not smoothed, then finished": attack,
    }
    for name, one in ways.items():
        measure(f"ig, five steps, B=10, {attack.iterations} iterations, {name}", one, victims)
    start = time.process_time()
    InvertingGradients(variation=1e-6, iterations=1, corrections=0)(
        [one for one, _, _ in victims[:1]], np.random.default_rng(1)
    )
    # One iteration is evaluated twice: its last point is, too.
    seconds = (time.process_time() - start) / 2
    print(
        f"  simulating all steps: {seconds:.2f} CPU s an iteration, {PUBLISHED * seconds / 3600:.1f} h for {PUBLISHED}"
    )


ARMS = {"idlg": arm_idlg, "dlg": arm_dlg, "multi": arm_multi}

if __name__ == "__main__":
    main()
