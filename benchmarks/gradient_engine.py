"""The engine of the gradient attacks beside the usual loop over victims: PSNR beside processor seconds.

    OMP_NUM_THREADS=1 python -m benchmarks.gradient_engine [--arms dlg ig ...] [--victims 8] [--compiled]

Victims are crops of scikit-learn's two sample images (windows of 96 pixels, area-resized), with labels at random, and
untrained networks. The loop takes one victim after the other with autograd's double backward, as the published code
does; the engine takes all of them at once. PSNR is Hungarian-matched within a batch, values clamped to [0, 1]. A ratio
is the median over rounds, in each of which every way has its turn; the slow ones take one other victim in each round.

- `dlg`: sigmoid LeNet, one image; the loop is torch.optim.LBFGS as published, on a few of the victims (the star).
  Goals: 95 % of 32 victims at 45 dB or more, at 4x less CPU.
- `ig`: equal iterations, equal schedule, equal starts; batches of 8 and 1 and a small network with 32 victims. The peer
  is breaching 0.1.2 with its own settings (invertinggradients), cut to as many iterations; it needs hydra-core,
  omegaconf and antlr4-python3-runtime 4.9.3 and is left out where it is not installed. Goals: 2.3x, 2.5x and 8x less
  CPU than the peer, PSNR not lower. With `--compiled` also the compiled engine, whose seconds leave out compiling.

The quality of iDLG, DLG and IG from local steps on a CNN is measured by `gradient_quality`, that of GRNN by
`gradient_grnn`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining, Observation, Reconstruction
from app.attacks.gradients.compiling import can_compile
from app.attacks.gradients.dlg import Dlg
from app.attacks.gradients.ig import InvertingGradients
from app.attacks.gradients.optimisers import decay
from app.attacks.gradients.priors import total_variation
from app.attacks.gradients.simulate import Client, attackable, one_hot
from app.attacks.gradients.victims import stack
from benchmarks.breaching_peer import inverting_gradients

ARMS = ("dlg", "ig")
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=ARMS, choices=ARMS)
    parser.add_argument("--victims", type=int, default=0, help="of every arm; 0: as many as each arm is meant for")
    parser.add_argument("--iterations", type=int, default=300, help="of `ig`")
    parser.add_argument("--compiled", action="store_true", help="also compile the engine of `ig`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread\n")
    print(f"{'arm':<34} {'CPU s/victim':>12} {'median dB':>10} {'mean':>6} {'min':>6} {'>=45 dB':>8} {'labels':>7}")
    for name in options.arms:
        if name == "ig":
            arm_ig(options.victims, options.iterations, options.compiled)
        else:
            globals()[f"arm_{name}"](options.victims)


def crops(count: int, size: int = 32, window: int = 96, seed: int = 0) -> Tensor:
    """(count, 3, size, size)"""
    rng, images = np.random.default_rng(seed), load_sample_images().images
    found = []
    for turn in range(count):
        image = images[turn % len(images)]
        top, left = (int(rng.integers(edge - window)) for edge in image.shape[:2])
        part = torch.tensor(image[top : top + window, left : left + window].astype(np.float32) / 255.0)
        found.append(nn.functional.interpolate(part.permute(2, 0, 1)[None], size=(size, size), mode="area")[0])
    return torch.stack(found)


def clients(
    name: str, victims: int, batch: int, size: int = 32, training: LocalTraining | None = None, seed: int = 0
) -> tuple[list[Observation], Tensor, Tensor]:
    """Observations, images (V, B, 3, size, size) and labels (V, B), distinct within a batch."""
    rng = np.random.default_rng(seed)
    model = networks.build(name, (3, size, size), 10, rng)
    x = crops(victims * batch, size, seed=seed).reshape(victims, batch, 3, size, size)
    y = torch.tensor(np.stack([rng.permutation(10)[:batch] for _ in range(victims)]))
    return [observe(model, x[row], y[row], training) for row in range(victims)], x, y


def observe(model: nn.Module, x: Tensor, y: Tensor, training: LocalTraining | None) -> Observation:
    weights = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    client, labels = Client(attackable(model, "cpu"), shared=True), one_hot(y, 10)
    if training is None:
        shared = client.gradient(weights, {}, x, labels)
    else:
        with torch.no_grad():
            moved = client.update(weights, {}, x[None], labels[None], training)
        shared = {name: tensor[0] for name, tensor in moved.items()}
    return Observation(model, weights, shared, len(x), tuple(x.shape[1:]), 10, training)


def quality(found: Tensor, true: Tensor) -> np.ndarray:
    """(B,): dB of each true image, the reconstructions being assigned to them as well as possible."""
    error = (found.clamp(0, 1)[:, None] - true[None]).square().flatten(2).mean(2).numpy()
    rows, columns = linear_sum_assignment(error)
    return -10.0 * np.log10(np.maximum(error[rows, columns], 1e-12))


def row(name: str, seconds: float, x: Tensor, found: list[Tensor], right: float) -> None:
    values = np.concatenate([quality(some, true) for some, true in zip(found, x, strict=True)])
    print(
        f"{name:<34} {seconds / len(x):12.2f} {np.median(values):10.1f} {values.mean():6.1f} {values.min():6.1f}"
        f" {(values >= 45).mean():8.0%} {'-' if np.isnan(right) else f'{right:.0%}':>7}",
        flush=True,
    )


def engine(
    name: str,
    attack: Callable[..., list[Reconstruction]],
    observations: list[Observation],
    x: Tensor,
    y: Tensor,
    without: float = 0.0,
) -> float:
    """Run the attack on all victims, print its row and return its seconds; `without` seconds are not counted."""
    start = time.process_time()
    found = attack(observations, np.random.default_rng(1))
    seconds = time.process_time() - start - without
    right = np.mean([sorted(one.labels.tolist()) == sorted(true.tolist()) for one, true in zip(found, y, strict=True)])
    row(name, seconds, x, [one.inputs for one in found], float(right))
    return seconds


def arm_dlg(victims: int) -> None:
    observations, x, y = clients("lenet", victims or 32, 1)
    mine = engine("dlg, lenet B=1", Dlg(), observations, x, y)
    engine("  in double precision", Dlg(double=True), observations, x, y)
    few, start = min(2, len(x)), time.process_time()
    found = [loop_dlg(one, seed) for seed, one in enumerate(observations[:few])]
    seconds = time.process_time() - start
    row("  loop, torch.optim.LBFGS *", seconds, x[:few], found, float("nan"))
    print(f"  {seconds / few / (mine / len(x)):.1f}x less CPU\n")


def loop_dlg(one: Observation, seed: int) -> Tensor:
    """Zhu et al.'s loop: 300 outer steps of torch.optim.LBFGS without a line search, normal starts."""
    model, generator = attackable(one.model, "cpu").requires_grad_(True), torch.Generator().manual_seed(seed)
    x = torch.randn(1, *one.input_shape, generator=generator).requires_grad_()
    y = torch.randn(1, one.classes, generator=generator).requires_grad_()
    weights, target = list(model.parameters()), list(one.shared.values())
    optimiser = torch.optim.LBFGS([x, y])

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = -(y.softmax(1) * model(x).log_softmax(1)).sum(1).mean()
        mine = torch.autograd.grad(loss, weights, create_graph=True)
        apart = sum((some - other).square().sum() for some, other in zip(mine, target, strict=True))
        slopes = torch.autograd.grad(apart, (x, y))
        x.grad, y.grad = slopes
        return apart

    for _ in range(300):
        optimiser.step(closure)
    return x.detach()


def loop_ig(one: Observation, labels: Tensor, start: Tensor, attack: InvertingGradients) -> Tensor:
    """The published loop with the settings of the engine's attack."""
    model = attackable(one.model, "cpu").requires_grad_(True)
    weights, target = list(model.parameters()), list(one.shared.values())
    length = torch.sqrt(sum(tensor.square().sum() for tensor in target))
    x, best, kept = start.clone().requires_grad_(), torch.inf, start
    optimiser = torch.optim.Adam([x], attack.rate)
    for turn in range(attack.iterations):
        loss = nn.functional.cross_entropy(model(x), labels)
        mine = torch.autograd.grad(loss, weights, create_graph=True)
        along = sum((some * other).sum() for some, other in zip(mine, target, strict=True))
        norm = torch.sqrt(sum(some.square().sum() for some in mine))
        total = 1.0 - along / (norm * length) + attack.variation * total_variation(x[None])[0]
        (slope,) = torch.autograd.grad(total, x)
        if float(total.detach()) < best:
            best, kept = float(total.detach()), x.detach().clone()
        x.grad = slope.sign()
        optimiser.param_groups[0]["lr"] = attack.rate * decay("cosine", turn / attack.iterations)
        optimiser.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    return kept


def arm_ig(victims: int, iterations: int, compiled: bool) -> None:
    peer = inverting_gradients(iterations)
    if peer is None:
        print("breaching: not installed")
    for name, batch, count in (("lenet_relu", 8, 4), ("lenet_relu", 1, 8), ("lenet", 1, 32)):
        observations, x, _ = clients(name, victims or count, batch)
        attack = InvertingGradients(iterations=iterations, finish=False)
        search = attack.search(stack(observations), np.random.default_rng(1))
        slow = {"loop": lambda *given, attack=attack: loop_ig(*given, attack)} | ({"breaching": peer} if peer else {})
        fast = {"engine": attack} | ({"compiled": replace(attack, compiled=True)} if compiled and can_compile() else {})
        spent: dict[str, list[float]] = {way: [] for way in (*slow, *fast)}
        found: dict[str, list[Tensor]] = {way: [] for way in spent}
        ready = {way: compiling(fast[way], observations) if way == "compiled" else 0.0 for way in fast}
        for at in range(min(ROUNDS, len(x))):
            for way, one in slow.items():
                start = time.process_time()
                found[way].append(one(observations[at], search.y[at].argmax(1), search.x[at]))
                spent[way].append(time.process_time() - start)
            for way, many in fast.items():
                start = time.process_time()
                results = many(observations, np.random.default_rng(1))
                # Quality is that of the victims which the slow ways take, too.
                found[way] = [each.inputs for each in results[:ROUNDS]]
                spent[way].append((time.process_time() - start - ready[way]) / len(x))
        for way in spent:
            label = f"ig {way}, {name} B={batch}" + (f", {len(x)} at once" if way in fast else "")
            row(label, float(np.median(spent[way])) * len(found[way]), x[: len(found[way])], found[way], float("nan"))
        for way in fast:
            ratios = [f"{np.median(np.divide(spent[one], spent[way])):.1f}x less CPU than {one}" for one in slow]
            print(f"  {way}: {', '.join(ratios)}")


def compiling(attack: InvertingGradients, observations: list[Observation]) -> float:
    """Seconds of compiling, which every search does anew and which take as long for one iteration as for many."""
    start = time.process_time()
    replace(attack, iterations=1)(observations, np.random.default_rng(1))
    return time.process_time() - start


if __name__ == "__main__":
    main()
