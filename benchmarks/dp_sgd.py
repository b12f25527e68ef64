"""DP-SGD: seconds for one reference model, here and with Opacus, with the accuracy and the epsilon that each reaches.

    python -m benchmarks.dp_sgd ../shared/data/location30/location30.npz

Location30 (Shokri et al., 2017), a perceptron with 128 hidden units, 10 epochs of Poisson batches of 64; one thread.
Opacus trains one model after another, once with a gradient for each record and once with ghost clipping.
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from app.defences.models.dp_sgd import DpSgd
from app.training import Stack, logits, perceptron, seeded

SETTINGS = DpSgd(epochs=10, batch=64, rate=0.5, clip=1.0, noise_multiplier=1.0)
MODELS, PEERS, TRAINED = 16, 3, 2505
DELTA = SETTINGS.delta


@dataclass
class Result:
    """Processor seconds of one model, test accuracies, epsilon."""

    seconds: float
    accuracy: list[float]
    epsilon: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("location30", type=Path)
    file = np.load(parser.parse_args().location30)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    x = torch.from_numpy(np.unpackbits(file["X"], axis=1)[:, : int(file["d"])].astype(np.float32))
    y = torch.from_numpy(file["y"].astype(np.int64))
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:TRAINED], order[TRAINED:]
    found = {"ours, 16 together": ours(x, y, train, test, MODELS), "ours, alone": ours(x, y, train, test, 1)}
    for mode in ("hooks", "ghost"):
        found[f"Opacus, {mode}"] = opacus(x, y, train, test, mode)
    print(f"{'way':<20} {'CPU s/model':>12} {'accuracy':>9} {'+-':>6} {'epsilon':>8} {'ratio':>7}")
    for name, result in found.items():
        ratio = result.seconds / found["ours, 16 together"].seconds
        mean, spread = np.mean(result.accuracy), np.std(result.accuracy)
        print(f"{name:<20} {result.seconds:12.3f} {mean:9.3f} {spread:6.3f} {result.epsilon:8.3f} {ratio:6.1f}x")


def ours(x: torch.Tensor, y: torch.Tensor, train: np.ndarray, test: np.ndarray, models: int) -> Result:
    stack = Stack.seeded(lambda: perceptron((x.shape[1],), 30), range(models))
    start = time.process_time()
    trained = SETTINGS.train(stack, x, y, [train] * models, np.random.default_rng(0))
    seconds = (time.process_time() - start) / models
    right = (logits(trained, x[test]).argmax(2) == y[test]).float().mean(1)
    return Result(seconds, right.tolist(), SETTINGS.epsilon(len(train)))


def opacus(x: torch.Tensor, y: torch.Tensor, train: np.ndarray, test: np.ndarray, mode: str) -> Result:
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    seconds, accuracy, epsilon = [], [], 0.0
    for seed in range(PEERS):
        with seeded(seed):
            model: nn.Module = perceptron((x.shape[1],), 30)
            optimiser = torch.optim.SGD(model.parameters(), SETTINGS.rate)
            loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=SETTINGS.batch)
            criterion = nn.CrossEntropyLoss()
            engine = PrivacyEngine(accountant="rdp")
            private = engine.make_private(
                module=model,
                optimizer=optimiser,
                data_loader=loader,
                criterion=criterion,
                noise_multiplier=SETTINGS.noise_multiplier,
                max_grad_norm=SETTINGS.clip,
                grad_sample_mode=mode,
            )
            model, optimiser = private[0], private[1]
            criterion, loader = (private[2], private[3]) if mode == "ghost" else (criterion, private[2])
            start = time.process_time()
            for _ in range(SETTINGS.epochs):
                for inputs, labels in loader:
                    optimiser.zero_grad()
                    criterion(model(inputs), labels).backward()
                    optimiser.step()
            seconds.append(time.process_time() - start)
            accuracy.append(float((model(x[test]).argmax(1) == y[test]).float().mean()))
            epsilon = engine.get_epsilon(DELTA)
    return Result(float(np.median(seconds)), accuracy, epsilon)


if __name__ == "__main__":
    main()
