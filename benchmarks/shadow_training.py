"""Training 32 shadow models: one after another in several loops, and all together; the part `shadows` of
`benchmarks.membership_attacks`.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from app import metrics
from app.attacks.membership import lira, signals
from app.attacks.membership.references import halves
from app.training import Recipe, Stack, epochs_of, logits, perceptron, train

RECIPE = Recipe(epochs=30, batch=64, rate=0.02, momentum=0.9, is_dropping=True)
"""Of the shadows whose cost is measured."""
SHADOWS = 32


def digits() -> tuple[Tensor, Tensor]:
    loaded = load_digits()
    return torch.from_numpy((loaded.data / 16).astype(np.float32)), torch.from_numpy(loaded.target.astype(np.int64))


def location30(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    path = folder / "location30/location30.npz"
    if not path.exists():
        return {}
    loaded = np.load(path)
    x = np.unpackbits(loaded["X"], axis=1)[:, : int(loaded["d"])].astype(np.float32)
    return {"Location30": (torch.from_numpy(x), torch.from_numpy(loaded["y"].astype(np.int64)))}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


class Rows(Dataset):
    """Records as a library's table keeps them: NumPy arrays, of which each record becomes a tensor when asked for."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x.numpy(), y.numpy()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.x[place], dtype=torch.float32), torch.tensor(self.y[place], dtype=torch.long)


def library_loop(stack: Stack, x: Tensor, y: Tensor, rows: list[np.ndarray], seeds: list[int]) -> Stack:
    """As privacy_meter trains: Dataset, Subset, DataLoader, a loss and an accuracy that are read after each batch.

    Kinder than it is: no evaluation of the other half after every epoch, and no processes that load. The sampler gives
    the batches that all ways use.
    """
    modules, everything = [], Rows(x, y)
    for model in range(len(stack)):
        module, own = stack.module(model).train().to(x.device), Subset(everything, rows[model])
        criterion = nn.CrossEntropyLoss()
        moving = torch.optim.SGD(module.parameters(), RECIPE.rate, momentum=RECIPE.momentum)
        for epoch in epochs_of(np.arange(len(own)), RECIPE, seeds[model]):
            total, right = 0.0, 0
            for inputs, labels in DataLoader(own, batch_sampler=[batch.tolist() for batch in epoch]):
                data, target = inputs.to(x.device, non_blocking=True), labels.to(x.device, non_blocking=True).long()
                moving.zero_grad(set_to_none=True)
                output = module(data)
                loss = criterion(output, target)
                loss.backward()
                moving.step()
                total += loss.item()
                right += output.argmax(dim=1).eq(target).sum().item()
        modules.append(module.eval())
    return Stack.of(modules)


def lean_loop(stack: Stack, x: Tensor, y: Tensor, rows: list[np.ndarray], seeds: list[int]) -> Stack:
    """A Dataset of tensors and a DataLoader, and nothing that is not needed."""
    pairs = TensorDataset(x, y)

    def batches(model: int):
        for epoch in epochs_of(rows[model], RECIPE, seeds[model]):
            yield from DataLoader(pairs, batch_sampler=[batch.tolist() for batch in epoch])

    return one_by_one(stack, batches)


def tight_loop(
    stack: Stack, x: Tensor, y: Tensor, rows: list[np.ndarray], seeds: list[int], is_turned: bool = False
) -> Stack:
    """Without Dataset and DataLoader; `is_turned`: the records of a batch from last to first, which only rounds."""

    def batches(model: int):
        for epoch in epochs_of(rows[model], RECIPE, seeds[model]):
            yield from (
                (x[batch], y[batch]) for batch in ([batch[::-1].copy() for batch in epoch] if is_turned else epoch)
            )

    return one_by_one(stack, batches)


def one_by_one(stack: Stack, batches: Callable[[int], Any]) -> Stack:
    modules = []
    for model in range(len(stack)):
        module = stack.module(model).train()
        moving = torch.optim.SGD(module.parameters(), RECIPE.rate, momentum=RECIPE.momentum)
        for inputs, labels in batches(model):
            moving.zero_grad()
            functional.cross_entropy(module(inputs), labels).backward()
            moving.step()
        modules.append(module)
    return Stack.of(modules)


def shadows(name: str, x: Tensor, y: Tensor) -> None:
    """Training 32 shadow models in four ways."""
    rng, classes = np.random.default_rng(0), int(y.max()) + 1
    inside = halves(np.arange(len(y)), np.arange(len(y)), SHADOWS, 0, rng)
    rows = [np.flatnonzero(mask) for mask in inside]
    seeds = list(range(SHADOWS))
    fresh = Stack.seeded(lambda: perceptron((x.shape[1],), classes), seeds)
    ways = {
        "library loop": lambda: library_loop(fresh, x, y, rows, seeds),
        "lean DataLoader": lambda: lean_loop(fresh, x, y, rows, seeds),
        "tight loop": lambda: tight_loop(fresh, x, y, rows, seeds),
        "stacked": lambda: train(fresh, x, y, rows, RECIPE, seeds),
    }
    found = {way: timed(work) for way, work in ways.items()}
    expected = scaled(found["tight loop"][1], x, y)
    print(f"{name}: {SHADOWS} shadow models, {len(y)} records, {x.shape[1]} columns")
    print("  and how many times as fast as library, lean and tight loop; how far scores are from the tight loop")
    print("                     seconds library  lean  tight     median  largest   <= 1e-4   LiRA-30 AUC")
    for way, (seconds, stack) in found.items():
        got = scaled(stack, x, y)
        area = metrics.auc(lira.online(got[0], got[2:], inside[2:], False), inside[0])
        times = "".join(
            f"{found[base][0] / seconds:6.1f}x" for base in ("library loop", "lean DataLoader", "tight loop")
        )
        off = np.abs(got - expected)
        differences = f"{np.median(off):8.1e} {off.max():8.1e} {(off <= 1e-4).mean():9.4%}"
        print(f"  {way:<17} {seconds:8.2f} {times}   {differences}   {area:.6f}")
    worst = np.argsort(-np.abs(scaled(found["stacked"][1], x, y) - expected).max(1))[:2]
    rounding(fresh.take(worst), x, y, [rows[model] for model in worst], worst.tolist())


def rounding(fresh: Stack, x: Tensor, y: Tensor, rows: list[np.ndarray], seeds: list[int]) -> None:
    """What two ways of the same sums differ by: steps of descent magnify rounding, in any loop."""
    doubled = Stack(fresh.template, {name: tensor.double() for name, tensor in fresh.parameters.items()}, {})
    sequential = scaled(tight_loop(fresh, x, y, rows, seeds), x, y)
    stacked = scaled(train(fresh, x, y, rows, RECIPE, seeds), x, y)
    turned = scaled(tight_loop(fresh, x, y, rows, seeds, is_turned=True), x, y)
    precise = scaled(tight_loop(doubled, x.double(), y, rows, seeds), x, y)
    both = scaled(train(doubled, x.double(), y, rows, RECIPE, seeds), x, y)
    print("  the two models that differ most, largest difference between")
    for name, one, other in (
        ("stacked and tight loop, single precision", stacked, sequential),
        ("tight loop and itself with every batch turned round", turned, sequential),
        ("tight loop and itself in double precision", sequential, precise),
        ("stacked and tight loop, double precision", both, precise),
    ):
        print(f"    {name:<52} {np.abs(one - other).max():.1e}")
    print()


def scaled(stack: Stack, x: Tensor, y: Tensor) -> np.ndarray:
    # In the precision of the weights.
    inputs = x.to(next(iter(stack.parameters.values())).dtype)
    return signals.scaled_logit(logits(stack, inputs).numpy(), y.numpy())
