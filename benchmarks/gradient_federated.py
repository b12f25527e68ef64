"""What federated averaging leaves of a leak: reconstructions beside steps, batches and rates; labels; costs.

    OMP_NUM_THREADS=1 python -m benchmarks.gradient_federated [--arms decay imprint labels dlf cost] [--victims 4]

One thread; PSNR after matching; clients train in `app.federated`, with their records in a new order in every epoch.

- `decay`: scikit-learn's digits, an MLP 64-200-200-10, labels hidden. One thing changes at a time: how often a client
  passes over its eight records (in whole batches: 1, 2, 5, 10 steps; in batches of 1: one epoch of 8 steps), how many
  records it has (two whole steps), and its rate (five whole steps). IG and DLF simulate the steps, IG in the order that
  a client would have that does not shuffle, DLF without any; `analytic` and SPEAR take the update for one gradient.
- `imprint`: the same for Robbing the Fed, whose server puts a layer of 64 bins before the model, in as many directions
  as suit the records of a client; records that are found within 30 dB.
- `labels`: wrong ones of 50 with 100 classes: cnn3, crops of photographs, 10 epochs in batches of 10, at rates .004 and
  .05. `predecessor`: one probability for all classes, one random input; `faithful`: a probability for each class from
  3,000 random inputs, at both ends of the training and between them (Dimitrov et al., 2022, section 4.2); `ours`.
- `dlf`: the published shape, the same training at rate .004 (labels read): one gradient, the whole of `Dlf`, and the
  published way (--published, an hour); `of them` are those that the best blind set does not reach, as it does flat sky.
  The predecessor's figure on its own images: mean 14.0 dB, median 14.4, none of 50 above 19 dB.
- `cost`: IG with 1, 4 and 16 victims at once, each count in a process of its own: seconds a victim, and how far the
  peak of memory grows beyond what it was before the search; the budget of an evaluation is that of `matching.py`.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app import reconstruction_metrics
from app.attacks.gradients.analytic import Analytic
from app.attacks.gradients.base import GradientAttack, Observation, Reconstruction, Unsuited
from app.attacks.gradients.dlf import Dlf, halfway
from app.attacks.gradients.ig import InvertingGradients
from app.attacks.gradients.imprint import imprinted, sorting
from app.attacks.gradients.labels import between, counts_from_update, last_layer, recover, rounded, spelled
from app.attacks.gradients.matching import MEMORY, Matching
from app.attacks.gradients.networks import build
from app.attacks.gradients.rtf import RobbingTheFed
from app.attacks.gradients.scaling import as_gradient
from app.attacks.gradients.spear import Spear
from app.attacks.gradients.victims import stack
from app.federated import Data, FederatedTraining, Partition, observe, run
from benchmarks.gradient_exact import PUBLIC_SEED, pictures

ARMS = ("decay", "imprint", "labels", "dlf", "cost")
SCALE = (0.5, 0.5, 0.5)
PHOTOS = (3, 32, 32)
SUCCESS = 19.0
"""dB that the paper counts as recovered."""


@dataclass(frozen=True)
class Clients:
    """Observations of V clients with B records each."""

    seen: list[Observation]
    x: np.ndarray
    """(V, B, ...)."""
    y: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=ARMS)
    parser.add_argument("--victims", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=60, help="of DLF's search in its own arm")
    parser.add_argument("--published", action="store_true", help="the published way of DLF as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"seed {options.seed}, torch {torch.__version__}, one thread")
    for name in options.arms:
        globals()[f"arm_{name}"](options)


def federation(
    model: nn.Module, x: np.ndarray, y: np.ndarray, training: FederatedTraining, classes: int, seed: int
) -> list[Observation]:
    """What one round shows of clients with records x (V, B, ...) and labels y (V, B)."""
    count, size = y.shape
    rows = tuple(np.arange(count * size).reshape(count, size))
    data = Data(x.reshape(-1, *x.shape[2:]), y.ravel())
    history = run(model, Partition(rows, "given", {}, 0), data, training, np.random.default_rng(seed))
    shape = x.shape[2:]
    return [observe(history.rounds[0], client, training, model, shape, classes) for client in range(count)]


def digits(options: argparse.Namespace, size: int, training: FederatedTraining, bins: int = 0) -> Clients:
    """Clients with digits; the other digits are public."""
    rng, found = np.random.default_rng([options.seed, size]), load_digits()
    order = rng.permutation(len(found.target))
    images = (found.images[order, None] / 16.0).astype(np.float32)
    count = options.victims * size
    x = images[:count].reshape(options.victims, size, *images.shape[1:])
    y = found.target[order][:count].astype(np.int64).reshape(options.victims, size)
    model, public = build("mlp", x.shape[2:], 10, rng), torch.tensor(images[-600:])
    if bins:
        model = imprinted(model, x.shape[2:], *sorting(bins, public, size, rng))
    seen = federation(model, x, y, training, 10, options.seed)
    return Clients([replace(one, public=public) for one in seen], x, y)


def psnr(found: Sequence[Reconstruction], true: np.ndarray) -> np.ndarray:
    """(V, B): dB of each record after matching."""
    inputs = np.stack([one.inputs.numpy() for one in found]).reshape(true.shape).clip(0.0, 1.0)
    matched = reconstruction_metrics.match(inputs, true).inputs
    return reconstruction_metrics.psnr(reconstruction_metrics.mse(matched, true))


def sweeps() -> dict[str, list[tuple[str, int, FederatedTraining]]]:
    """By title: what changes, the records of a client, and its training."""

    def rule(epochs: int, batch: int, rate: float) -> FederatedTraining:
        return FederatedTraining(rounds=1, epochs=epochs, batch=batch, rate=rate)

    steps = [(f"{count}", 8, rule(count, 0, 0.05)) for count in (1, 2, 5, 10)]
    return {
        "steps, rate .05, 8 records": [*steps, ("epoch of 8", 8, rule(1, 1, 0.05))],
        "records, 2 steps, rate .05": [(f"{count}", count, rule(2, 0, 0.05)) for count in (1, 4, 16)],
        "rate, 5 steps, 8 records": [(f"{rate:g}", 8, rule(5, 0, rate)) for rate in (0.01, 0.1, 0.3)],
    }


def arm_decay(options: argparse.Namespace) -> None:
    ways: dict[str, GradientAttack] = {
        "IG": InvertingGradients(iterations=200, variation=0.02),
        "DLF": Dlf(iterations=100, straight=200),
        "analytic": Analytic(),
        "SPEAR": Spear(samples=20_000, rounds=2),
    }
    print(f"\n{'digits: mean / least dB, CPU s':<34}{'blind':>7}", *(f"{name:>20}" for name in ways), f"{'labels':>8}")
    for title, points in sweeps().items():
        for name, size, training in points:
            clients = digits(options, size, training)
            rng = np.random.default_rng(0)
            blind = reconstruction_metrics.blind_guess(clients.seen[0].public.numpy(), size, rng)  # type: ignore[union-attr]
            errors = reconstruction_metrics.mse(
                reconstruction_metrics.match(np.broadcast_to(blind, clients.x.shape), clients.x).inputs, clients.x
            )
            cells = [cell(way, clients) for way in ways.values()]
            labels = np.stack([recover(one, np.random.default_rng(0)).numpy() for one in clients.seen])
            right = reconstruction_metrics.label_accuracy(labels, clients.y).mean()
            base = reconstruction_metrics.psnr(errors).mean()
            print(f"{title:<28}{name:>6}{base:7.1f}", *cells, f"{right:8.0%}", flush=True)
            title = ""


def cell(way: GradientAttack, clients: Clients) -> str:
    start = time.process_time()
    try:
        values = psnr(way(clients.seen, np.random.default_rng(0)), clients.x)
    except Unsuited:
        return f"{'unsuited':>20}"
    seconds = time.process_time() - start
    return f"{values.mean():6.1f} /{values.min():5.1f}{seconds:6.1f}s"


def arm_imprint(options: argparse.Namespace) -> None:
    print(f"\n{'Robbing the Fed, 64 bins':<34}{'records':>9}{'>30 dB':>8}{'vouched':>9}{'CPU s':>7}")
    for title, points in sweeps().items():
        for name, size, training in points:
            clients = digits(options, size, training, 64)
            start = time.process_time()
            found = RobbingTheFed()(clients.seen, np.random.default_rng(0))
            seconds = time.process_time() - start
            near = (psnr(found, clients.x) > 30.0).sum()
            vouched = sum(int(one.confident.sum()) for one in found if one.confident is not None)
            print(f"{title:<28}{name:>6}{clients.y.size:9}{near:8}{vouched:9}{seconds:7.2f}", flush=True)
            title = ""


def photos(options: argparse.Namespace, rate: float, victims: int, seed: int, count: int = 50) -> Clients:
    """Clients with crops of photographs and labels at random, 10 epochs in batches of 10, cnn3 with 100 classes."""
    rng = np.random.default_rng(seed)
    x = pictures(victims * count, seed).numpy().reshape(victims, count, *PHOTOS)
    y = rng.integers(0, 100, (victims, count))
    model = build("cnn3", PHOTOS, 100, rng)
    training = FederatedTraining(rounds=1, epochs=10, batch=10, rate=rate)
    seen = federation(model, (x - 0.5) / 0.5, y, training, 100, options.seed)
    return Clients([replace(one, mean=SCALE, std=SCALE) for one in seen], x, y)


def arm_labels(options: argparse.Namespace) -> None:
    rules: dict[str, Callable[[Observation, np.random.Generator], Tensor]] = {
        "predecessor": lambda one, rng: interpolated(one, rng, 1, is_scalar=True),
        "faithful": lambda one, rng: interpolated(one, rng, 3000, is_scalar=False),
        "ours": counts_from_update,
    }
    print(f"\n{'wrong labels of 50 of 100 classes':<34}", *(f"{name:>12}" for name in rules))
    for rate in (0.004, 0.05):
        wrong = []
        for seed in range(options.victims):
            clients = photos(options, rate, 1, 100 + seed)
            true = torch.bincount(torch.tensor(clients.y[0]), minlength=100)
            found = [rule(clients.seen[0], np.random.default_rng(seed)) for rule in rules.values()]
            wrong.append([50 - int(torch.minimum(counts, true).sum()) for counts in found])
        means = np.mean(wrong, axis=0)
        title = f"rate {rate:g}, {options.victims} clients"
        print(f"{title:<34}", *(f"{mean:12.2f}" for mean in means), flush=True)


def interpolated(one: Observation, rng: np.random.Generator, samples: int, *, is_scalar: bool) -> Tensor:
    """(K,): counts from n p - n dW / O with p and O at both ends and linear between, for random normal inputs."""
    weight, _ = last_layer(one)
    x = torch.tensor(rng.standard_normal((samples, *one.input_shape)), dtype=torch.float32)
    ends = [_statistics(between(one, share), x, weight) for share in (0.0, 1.0)]
    (first_p, first_o), (last_p, last_o) = ends
    if is_scalar:
        first_p, last_p = (chance.mean().expand_as(chance) for chance in (first_p, last_p))
    mean = as_gradient(one)[weight].sum(1)
    steps = 50
    shares = torch.arange(steps) / steps
    each = [
        one.records * (first_p.lerp(last_p, share) - mean / (first_o + share * (last_o - first_o))) for share in shares
    ]
    return rounded(torch.stack(each).mean(0).double(), one.records)


def _statistics(one: Observation, x: Tensor, weight: str) -> tuple[Tensor, Tensor]:
    """Mean probabilities (K,), and the mean sum of the last hidden activations."""
    kept: list[Tensor] = []
    layer = one.model.get_submodule(weight.rpartition(".")[0])
    with torch.no_grad(), layer.register_forward_pre_hook(lambda _, given: kept.append(given[0])):
        chance = functional_call(one.model, dict(one.parameters), (x,)).softmax(1).mean(0)
    return chance, kept[0].sum(1).mean()


def arm_dlf(options: argparse.Namespace) -> None:
    clients = photos(options, 0.004, 1, 200 + options.seed)
    one, y = clients.seen[0], torch.tensor(clients.y[0])
    start = time.process_time()
    labels = spelled(counts_from_update(one, np.random.default_rng(0)))
    seconds = time.process_time() - start
    wrong = 50 - int(torch.minimum(torch.bincount(labels, minlength=100), torch.bincount(y, minlength=100)).sum())
    known = [replace(one, labels=labels)]
    print(
        f"\nDLF, 50 crops, 100 classes, 10 epochs of 5 steps, rate .004; {wrong} labels wrong, read in {seconds:.0f} s"
    )
    print(f"{'':<34}{'mean':>6}{'median':>8}{'most':>6}{'least':>7}{'>19 dB':>8}{'of them':>8}{'CPU s':>7}")
    ig = InvertingGradients(iterations=150, variation=0.02)
    tried: dict[str, tuple[GradientAttack, list[Observation]]] = {
        "one gradient, weights sent, 150": (ig, [replace(known[0], shared=as_gradient(one), training=None)]),
        "one gradient, half-way, 150": (ig, [halfway(known[0])]),
        f"smooth, 200 and {options.iterations} steps": (Dlf(iterations=options.iterations, straight=200), known),
    }
    if options.published:
        tried["as published, 400 steps"] = (Dlf(way="epochs"), known)
    guess = reconstruction_metrics.blind_guess(pictures(500, PUBLIC_SEED).numpy(), 50, np.random.default_rng(0))
    matched = reconstruction_metrics.match(guess[None], clients.x).inputs
    blind = reconstruction_metrics.psnr(reconstruction_metrics.mse(matched, clients.x))
    _row("blind, the best set of 50", blind, blind, 0.0)
    for name, (attack, seen) in tried.items():
        start = time.process_time()
        values = psnr(attack(seen, np.random.default_rng(0)), clients.x)
        _row(name, values, blind, time.process_time() - start)


def _row(name: str, values: np.ndarray, blind: np.ndarray, seconds: float) -> None:
    print(
        f"{name:<34}{values.mean():6.1f}{np.median(values):8.1f}{values.max():6.1f}{values.min():7.1f}"
        f"{(values > SUCCESS).sum():8}{((values > SUCCESS) & (blind <= SUCCESS)).sum():8}{seconds:7.0f}",
        flush=True,
    )


def arm_cost(options: argparse.Namespace) -> None:
    print(f"\n{'IG, CPU s a victim, peak growth':<34}{'victims':>8}{'at once':>8}{'CPU s':>8}{'MiB':>7}{'budget':>8}")
    for name, size, batch, turns in (("lenet_relu", 16, 8, 30), ("cnn", 32, 8, 4)):
        for victims in (1, 4, 16):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                chunk, seconds, growth = pool.apply(_cost, (name, size, batch, turns, victims))
            title = f"{name} {size} x {size}, B = {batch}, {turns} steps"
            print(
                f"{title:<34}{victims:8}{chunk:8}{seconds / victims:8.2f}{growth / 2**20:7.0f}{MEMORY / 2**20:8.0f}",
                flush=True,
            )


def _cost(name: str, size: int, batch: int, turns: int, victims: int) -> tuple[int, float, int]:
    """Problems at once, seconds, and bytes by which the peak of memory grew."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    model = build(name, (3, size, size), 10, rng)
    x = torch.tensor(rng.random((victims, batch, 3, size, size)), dtype=torch.float32)
    y = torch.tensor(rng.integers(0, 10, (victims, batch)))
    seen = []
    for inputs, labels in zip(x, y, strict=True):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        weights = {key: value.detach() for key, value in model.named_parameters()}
        shared = dict(zip(weights, slopes, strict=True))
        seen.append(Observation(model, weights, shared, batch, (3, size, size), 10, labels=labels))
    victims_ = stack(seen)
    search = InvertingGradients(iterations=turns).search(victims_, rng)
    before = _peak()
    start = time.process_time()
    search.run()
    seconds = time.process_time() - start
    matching: Matching = search.matching
    return min(victims, matching._size), seconds, _peak() - before


def _peak() -> int:
    """The most memory in bytes that this process ever held; unlike getrusage's, not inherited from its parent."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
