"""Exact and nearly exact recovery of batches from gradients: quality beside processor seconds, and who vouches for it.

    OMP_NUM_THREADS=1 python -m benchmarks.gradient_exact [--victims 4] [--largest 16] [--without networks imprint]

Private records are 32 x 32 pictures in colour: windows of 96 pixels of scikit-learn's two photographs, resized by area.
Networks are untrained, inputs normalised, gradients in single precision. One thread.

- linear layers: the MLP 3072-256-256-10 at growing batches. `SPEAR by sampling` is the published search, `by patterns`
  ours; `CPA` unmixes the same gradients. The star counts victims with a certificate, which no attack may give wrongly.
- convolutions: the ReLU LeNet with a linear ReLU layer, batch 8: exact features first, then the inputs of the last
  convolutions, then the images. The peer is breaching 0.1.2 (invertinggradients, told the labels), cut to 1,500
  iterations, and with `--default` also with its own 24,000; see `breaching_peer`.
- cocktail: a linear layer of 256 neurons, 200 classes, batch 50, 64 x 64 windows of all scales, mirrored or not,
  channels in any order. SSIM with the attack's own sign and with the better one (matched by correlation), and the
  share of own signs that are right. SPEAR starts from the same separation and ends with a certificate, or without.
- imprint: 64 records, 100 and 128 bins, as a gradient, an update of one step, one of three, and one of three epochs.
  The bins sort by brightness, as published, or by several directions. `expected` is the number of records that are
  alone in their bin, or that can be peeled; `>30 dB` and `>70 dB` count records that have an answer of their own that
  near, `matched` those above 30 dB as the referee matches, which may hand the answer of one record to its twin;
  `vouched` those that the attack vouches for, `worst` the least of these in dB, `labels` their share that is right.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app import reconstruction_metrics
from app.attacks.gradients.base import GradientAttack, LocalTraining, Observation, Reconstruction, Unsuited
from app.attacks.gradients.cpa import CocktailParty
from app.attacks.gradients.embedding import EmbeddingInversion
from app.attacks.gradients.imprint import edges, expected_peeled, imprinted, sorting
from app.attacks.gradients.networks import build, initialise
from app.attacks.gradients.rtf import RobbingTheFed
from app.attacks.gradients.scaling import denormalised, gradient_at, normalised
from app.attacks.gradients.spear import Spear
from benchmarks.breaching_peer import inverting_gradients

SCALE = (0.5, 0.5, 0.5)
SHAPE = (3, 32, 32)
PUBLIC_SEED = 999
Victim = tuple[Observation, Tensor, Tensor]
Attack = Callable[[Sequence[Observation], np.random.Generator], list[Reconstruction]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victims", type=int, default=4)
    parser.add_argument("--largest", type=int, default=16, help="the largest batch for the linear layers")
    parser.add_argument("--without", nargs="*", default=[], choices=["linear", "networks", "cocktail", "imprint"])
    parser.add_argument("--default", type=int, default=0, help="victims for the peer at its 24,000 iterations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    public = pictures(1000, PUBLIC_SEED)
    if "linear" not in options.without:
        linear(options.victims, options.largest, public)
    if "networks" not in options.without:
        networks(options.victims, options.default, public)
    if "cocktail" not in options.without:
        cocktail(options.victims)
    if "imprint" not in options.without:
        imprint(options.victims, public)


def linear(victims: int, largest: int, public: Tensor) -> None:
    """The first layer is a linear one."""
    heading("linear layers, MLP 3072-256-256-10")
    for batch in [size for size in (4, 8, 16, 24, 32) if size <= largest]:
        chosen = [observed(mlp(seed), batch, seed, public) for seed in range(victims)]
        if batch <= 12:
            measure(f"SPEAR by sampling, B = {batch}", Spear(search="sampling"), chosen)
        measure(f"SPEAR by patterns, B = {batch}", Spear(search="patterns"), chosen)
        measure(f"SPEAR as fits, B = {batch}", Spear(), chosen)
        measure(f"CPA, B = {batch}", CocktailParty(), chosen)


def networks(victims: int, default: int, public: Tensor) -> None:
    """Convolutions, then a linear layer with a ReLU."""
    heading("convolutions, LeNet with ReLU, B = 8")
    drawn = [build("lenet_relu", SHAPE, 10, np.random.default_rng(seed)) for seed in range(victims)]
    chosen = [observed(network, 8, seed, public) for seed, network in enumerate(drawn)]
    measure("embedding, features only", EmbeddingInversion(peeling=0), chosen)
    for steps in (500, 1000):
        measure(f"embedding, {steps} steps", EmbeddingInversion(iterations=steps), chosen)
    labelled = [(replace(observation, labels=y), x, y) for observation, x, y in chosen]
    for iterations, count in ((1500, len(chosen)), (24_000, default)):
        peer = told(iterations)
        if peer is None:
            print("breaching: not installed")
        elif count:
            measure(f"breaching, {iterations:,} iterations", peer, labelled[:count])


def told(iterations: int) -> Attack | None:
    """The peer as an attack that gets the labels with the observation."""
    peer = inverting_gradients(iterations)
    if peer is None:
        return None

    def attack(observations: Sequence[Observation], rng: np.random.Generator) -> list[Reconstruction]:
        torch.manual_seed(int(rng.integers(2**31)))
        return [
            Reconstruction(denormalised(one, peer(one, one.labels, None)).clamp(0, 1), one.labels, 0.0)
            for one in observations
        ]

    return attack


def cocktail(victims: int) -> None:
    """Many records behind one linear layer."""
    print(f"\ncocktail, 12288-256-200, B = 50\n{'':28}{'CPU s':>8}{'SSIM':>8}{'best':>8}{'sign':>8}{'PSNR':>8}", end="")
    print(f"{'least':>8}{'certified':>11}")
    shape, records, classes = (3, 64, 64), 50, 200
    attacks: dict[str, GradientAttack] = {
        "CPA, published objective": CocktailParty(iterations=1500, warm_start=0),
        "CPA": CocktailParty(),
        "SPEAR": Spear(),
    }
    for name, attack in attacks.items():
        rows = []
        for seed in range(victims):
            network = build("fc2", shape, classes, np.random.default_rng(seed))
            x = windows(records, seed, shape[1])
            y = torch.tensor(np.random.default_rng(seed).integers(0, classes, records))
            observation = shared(network, x, y, classes)
            start = time.process_time()
            found = attack([observation], np.random.default_rng(0))[0]
            seconds = time.process_time() - start
            rows.append((seconds, *likeness(found.inputs, x), float(found.note.startswith("certified"))))
        means = np.mean(rows, axis=0)
        print(
            f"{name:28}{means[0]:8.2f}{means[1]:8.3f}{means[2]:8.3f}{means[3]:8.0%}{means[4]:8.1f}"
            f"{min(row[5] for row in rows):8.1f}{sum(row[6] for row in rows):8.0f} / {victims}",
            flush=True,
        )


def likeness(found: Tensor, true: Tensor) -> tuple[float, float, float, float, float]:
    """SSIM, SSIM with the better sign, the share of signs that are right, PSNR and the least PSNR."""
    both = torch.cat([true.flatten(1), found.flatten(1)])
    alike = torch.corrcoef(both)[: len(true), len(true) :].nan_to_num(0.0)
    rows, places = linear_sum_assignment(-alike.abs().numpy())
    matched, target = found[torch.tensor(places)].numpy()[None], true.numpy()[None]
    own, other = (reconstruction_metrics.ssim(picture, target)[0] for picture in (matched, 1.0 - matched))
    psnr = reconstruction_metrics.psnr(reconstruction_metrics.mse(matched, target))
    right = float((alike[rows, places] > 0).float().mean())
    return float(own.mean()), float(np.maximum(own, other).mean()), right, float(psnr.mean()), float(psnr.min())


def imprint(victims: int, public: Tensor) -> None:
    """A malicious server."""
    print(f"\nimprint, 64 records\n{'':36}{'CPU s':>7}{'expected':>10}{'>30 dB':>8}{'>70 dB':>8}", end="")
    print(f"{'matched':>9}{'vouched':>9}{'worst':>7}{'labels':>8}")
    trainings = {
        "gradient": None,
        "one step": LocalTraining(1, 0, (0.1,), weight_decay=1e-5),
        "three steps": LocalTraining(1, 22, (0.1,), weight_decay=1e-5),
        "three epochs": LocalTraining(3, 22, (0.1,), weight_decay=1e-5),
    }
    for bins in (100, 128):
        several = sorting(bins, public, 64, np.random.default_rng(PUBLIC_SEED), SCALE, SCALE)
        sorters = {"brightness": (edges(bins, public, SCALE, SCALE),), f"{len(several[0])} directions": several}
        for sorter, places in sorters.items():
            promised = expected_peeled(64, bins, len(places[0]) if len(places) > 1 else 1)
            for name, training in trainings.items():
                rows = np.array([_imprint(places, training, seed, public) for seed in range(victims)])
                means, worst = rows.mean(0), rows[:, 5].min()
                title = f"{bins} bins, {sorter}, {name}"
                print(
                    f"{title:36}{means[0]:7.2f}{promised:10.1f}{means[1]:8.1f}{means[2]:8.1f}{means[3]:9.1f}{means[4]:9.1f}{worst:7.1f}{means[6]:8.0%}",
                    flush=True,
                )


def _imprint(
    places: tuple[Tensor, ...], training: LocalTraining | None, seed: int, public: Tensor
) -> tuple[float, int, int, int, int, float, float]:
    network = imprinted(build("cnn", SHAPE, 10, np.random.default_rng(seed)), SHAPE, *places)
    observation, x, y = observed(network, 64, seed, public)
    if training is not None:
        observation = trained(observation, x, y, training)
    start = time.process_time()
    found = RobbingTheFed()([observation], np.random.default_rng(0))[0]
    seconds = time.process_time() - start
    errors = reconstruction_metrics.psnr(
        reconstruction_metrics.pairwise_mse(found.inputs.numpy()[None], x.numpy()[None])
    )[0]
    psnr, _ = quality(found, x, y)
    sure = found.confident.numpy() if found.confident is not None else np.zeros(len(x), bool)
    right = found.labels.numpy() == y.numpy()[errors.argmax(0)]
    return (
        seconds,
        _own(errors > 30),
        _own(errors > 70),
        int((psnr > 30).sum()),
        int(sure.sum()),
        float(errors.max(0)[sure].min(initial=150.0)),
        float(right[sure].mean()) if sure.any() else 0.0,
    )


def _own(near: np.ndarray) -> int:
    """How many records (rows) can have an answer (columns) of their own that is near."""
    return int(near[linear_sum_assignment(near, maximize=True)].sum())


def heading(title: str) -> None:
    print(f"\n{title}\n{'':28}{'CPU s':>8}{'PSNR':>8}{'least':>8}{'>100 dB':>9}{'labels':>8}{'certified':>11}")


def measure(name: str, attack: Attack, chosen: Sequence[Victim]) -> None:
    """One line: seconds per victim, the mean PSNR, that of the worst image, the share that is exact, labels."""
    seconds, psnr, labels, certified = [], [], [], 0
    for observation, x, y in chosen:
        start = time.process_time()
        try:
            found = attack([observation], np.random.default_rng(0))[0]
        except Unsuited as reason:
            print(f"{name:28} {reason}")
            return
        seconds.append(time.process_time() - start)
        values, share = quality(found, x, y)
        psnr.append(values)
        labels.append(share)
        certified += "not certified" not in found.note and "certified" in found.note
    every = np.concatenate(psnr)
    print(
        f"{name:28}{np.mean(seconds):8.2f}{every.mean():8.1f}{every.min():8.1f}{(every > 100).mean():9.0%}"
        f"{np.mean(labels):8.0%}{certified:8} / {len(chosen)}",
        flush=True,
    )


def quality(found: Reconstruction, x: Tensor, y: Tensor) -> tuple[np.ndarray, float]:
    """PSNR of each record after matching, and the share of labels that are right with their assignment."""
    match = reconstruction_metrics.match(found.inputs.numpy()[None], x.numpy()[None])
    psnr = reconstruction_metrics.psnr(reconstruction_metrics.mse(match.inputs, x.numpy()[None]))[0]
    return psnr, float((found.labels[torch.tensor(match.places[0])] == y).float().mean())


def mlp(seed: int) -> nn.Module:
    layers = (nn.Linear(3072, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    network = nn.Sequential(nn.Flatten(), *layers)
    initialise(network, np.random.default_rng(seed))
    return network


def observed(network: nn.Module, batch: int, seed: int, public: Tensor) -> Victim:
    """The gradient of one batch."""
    x, y = pictures(batch, seed), torch.tensor(np.random.default_rng(seed).integers(0, 10, batch))
    return replace(shared(network, x, y, 10), public=public), x, y


def shared(network: nn.Module, x: Tensor, y: Tensor, classes: int) -> Observation:
    """What a client shares of one step."""
    weights = {name: value.detach() for name, value in network.named_parameters()}
    bare = Observation(network, weights, weights, len(x), tuple(x.shape[1:]), classes, mean=SCALE, std=SCALE)
    return replace(bare, shared=gradient_at(bare, x, y))


def trained(observation: Observation, x: Tensor, y: Tensor, training: LocalTraining) -> Observation:
    """The update of a client that trains with torch.optim.SGD."""
    network = copy.deepcopy(observation.model)
    optimiser = torch.optim.SGD(network.parameters(), training.rate(0), weight_decay=training.weight_decay)
    for rows in torch.arange(len(x)).split(training.batch or len(x)):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(normalised(observation, x[rows])), y[rows]).backward()
        optimiser.step()
    after = dict(network.named_parameters())
    shared = {name: value - after[name].detach() for name, value in observation.parameters.items()}
    return replace(observation, shared=shared, training=training)


def pictures(count: int, seed: int, window: int = 96, side: int = 32) -> Tensor:
    """(count, 3, side, side): windows of two photographs, resized by area."""
    rng, images = np.random.default_rng(seed), load_sample_images().images
    found = []
    for _ in range(count):
        image = images[rng.integers(len(images))]
        top, left = (int(rng.integers(length - window + 1)) for length in image.shape[:2])
        part = image[top : top + window, left : left + window] / 255.0
        found.append(part.reshape(side, window // side, side, window // side, 3).mean((1, 3)).transpose(2, 0, 1))
    return torch.tensor(np.stack(found), dtype=torch.float32)


def windows(count: int, seed: int, side: int) -> Tensor:
    """(count, 3, side, side): windows of all scales of two photographs, mirrored or not, channels in any order."""
    rng, images = np.random.default_rng(seed), load_sample_images().images
    found = []
    for _ in range(count):
        image = images[rng.integers(len(images))] / 255.0
        scale = min(int(rng.integers(1, 5)), min(image.shape[:2]) // side)
        top, left = (int(rng.integers(length - side * scale + 1)) for length in image.shape[:2])
        part = image[top : top + side * scale, left : left + side * scale]
        part = part.reshape(side, scale, side, scale, 3).mean((1, 3)).transpose(2, 0, 1)
        found.append((part[:, :, ::-1] if rng.random() < 0.5 else part)[rng.permutation(3)])
    return torch.tensor(np.stack(found), dtype=torch.float32)


if __name__ == "__main__":
    main()
