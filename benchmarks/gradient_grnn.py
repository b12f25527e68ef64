"""Generative regression (GRNN) as published beside the one of the platform: dB of every image beside CPU seconds.

    OMP_NUM_THREADS=1 python -m benchmarks.gradient_grnn [--victims 10] [--classes 100] [--arms ours published]

The setting is that of the published figure: the untrained `cnn` (8.4 million weights), batches of four 32 x 32 RGB
images, labels drawn at random from 100 classes. Images are crops of scikit-learn's two sample images. Arms: `published`
(1,000 steps of RMSprop on the plain sum, labels searched for), `unsmoothed` (ours with the ReLUs as they are, all else
equal) and `ours`. Each victim goes through all arms before the next. PSNR is Hungarian-matched within a batch.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.attacks.gradients import networks
from app.attacks.gradients.base import Observation
from app.attacks.gradients.grnn import Grnn
from app.attacks.gradients.labels import agreement
from app.attacks.gradients.simulate import Client, attackable, one_hot
from benchmarks.gradient_engine import crops, quality

BATCH = 4
COLLAPSED = 15.0
"""dB below which an image counts as lost."""
ARMS = {"published": Grnn.published(), "unsmoothed": Grnn(smooth=0.0, restarts=0), "ours": Grnn()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--victims", type=int, default=10)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--network", default="cnn", choices=list(networks.NETWORKS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {options.network}, {options.classes} classes, B = {BATCH}")
    found: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in options.arms}
    for victim in range(options.victims):
        observation, x, y = client(options, options.seed + victim)
        for name in options.arms:
            found[name].append(attacked(name, observation, x, y, options.seed + victim))
    print(f"\n{'arm':<12} {'CPU s/victim':>12} {'median dB':>10} {'mean':>6} {'min':>6} {'<15 dB':>7} {'images':>7}")
    for name, rows in found.items():
        values = np.concatenate([decibels for _, decibels in rows])
        print(
            f"{name:<12} {np.mean([seconds for seconds, _ in rows]):12.1f} {np.median(values):10.1f}"
            f" {values.mean():6.1f} {values.min():6.1f} {(values < COLLAPSED).mean():7.0%} {len(values):7d}"
        )


def client(options: argparse.Namespace, seed: int) -> tuple[Observation, Tensor, Tensor]:
    """What a client shares, its images (B, 3, size, size) and its labels (B,)."""
    rng, shape = np.random.default_rng(seed), (3, options.size, options.size)
    model = networks.build(options.network, shape, options.classes, rng)
    x, y = crops(BATCH, options.size, seed=seed), torch.tensor(rng.integers(options.classes, size=BATCH))
    weights = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    shared = Client(attackable(model, "cpu"), shared=True).gradient(weights, {}, x, one_hot(y, options.classes))
    return Observation(model, weights, shared, BATCH, shape, options.classes), x, y


def attacked(name: str, observation: Observation, x: Tensor, y: Tensor, seed: int) -> tuple[float, np.ndarray]:
    """CPU seconds, and dB of every image; prints the victim's row."""
    start = time.process_time()
    (found,) = ARMS[name]([observation], np.random.default_rng(seed))
    seconds, decibels = time.process_time() - start, quality(found.inputs, x)
    right = agreement(found.labels, y, observation.classes)
    shown = " ".join(f"{value:5.1f}" for value in decibels)
    print(f"{seed:4d} {name:<12} {shown} dB, labels {right:4.0%}, loss {found.score:.1e}, {seconds:5.1f} s", flush=True)
    return seconds, decibels


if __name__ == "__main__":
    main()
