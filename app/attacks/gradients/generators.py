"""Generators of images, trained on records that everybody has: a prior of attacks, and a job of the lab.

A generator gives images in (0, 1), whatever the range of the records. Its weights travel as safetensors.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from app.attacks.gradients.base import Progress, silent
from app.errors import InvalidUpload, Reason
from app.parameters import parameter

SMALLEST = 4
"""The side of the feature maps that a generator begins with and a critic ends with."""
LEAST = 16
"""Records that a generator is trained on at least."""
LARGEST = 256 << 20
"""Bytes of a file of weights."""
MOST = 4096
"""The most that any size in the description of a generator may be."""
SHAPE = "shape"
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class GeneratorTraining:
    """A Wasserstein GAN with gradient penalty (Gulrajani et al., 2017, NeurIPS, algorithm 1), of DCGAN's shape."""

    steps: int = parameter(1500, "Steps of the generator.", minimum=1, maximum=10_000_000)
    critic: int = parameter(3, "Steps of the critic for each one of the generator.", minimum=1, maximum=100)
    batch: int = parameter(64, "Records of a step.", minimum=2, maximum=4096)
    rate: float = parameter(3e-4, "Learning rate of Adam.", minimum=1e-7, maximum=1.0)
    penalty: float = parameter(10.0, "Weight of the gradient penalty.", minimum=0.0, maximum=1e4)
    latent: int = parameter(64, "Values of the latent vector.", minimum=1, maximum=MOST)
    width: int = parameter(16, "Channels of the last block.", minimum=1, maximum=1024)


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator in evaluation mode, and how its training went."""

    generator: "Generator"
    distances: tuple[float, ...]
    """The critic's estimate of the Wasserstein distance at equal distances over the run."""


class Generator(nn.Module):
    """Latent vectors (B, latent) to images (B, C, H, W) in (0, 1), of any size."""

    def __init__(self, shape: tuple[int, ...], latent: int, width: int) -> None:
        """Raises ValueError for records that are not images."""
        super().__init__()
        self.shape, self.latent, self.width = _images(shape), latent, width
        blocks = _blocks(shape)
        now = width * 2 ** max(0, min(blocks, 3))
        self.wide = now
        values = now * SMALLEST**2
        self.begin = nn.Sequential(nn.Linear(latent, values, bias=False), nn.BatchNorm1d(values), nn.ReLU())
        layers: list[nn.Module] = []
        for _ in range(blocks):
            after = max(width, now // 2)
            layers += [nn.ConvTranspose2d(now, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            now = after
        self.blocks, self.end = nn.Sequential(*layers), nn.Conv2d(now, shape[0], 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """The images; a size that is no power of two is cut out of the middle of the next one."""
        grown = self.end(self.blocks(self.begin(z).unflatten(1, (self.wide, SMALLEST, SMALLEST))))
        top, left = ((large - small) // 2 for large, small in zip(grown.shape[2:], self.shape[1:], strict=True))
        return grown[:, :, top : top + self.shape[1], left : left + self.shape[2]].sigmoid()


class Critic(nn.Module):
    """Images (B, C, H, W) in [0, 1] to scores (B, outputs); without a normalisation that would mix records."""

    def __init__(self, shape: tuple[int, ...], width: int, outputs: int = 1) -> None:
        """Raises ValueError for records that are not images."""
        super().__init__()
        now, (height, breadth), layers = _images(shape)[0], shape[1:], list[nn.Module]()
        for turn in range(max(1, _blocks(shape))):
            after = width * 2 ** min(turn, 3)
            layers += [nn.Conv2d(now, after, 3, 2, 1), nn.LeakyReLU(0.2)]
            now, height, breadth = after, -(-height // 2), -(-breadth // 2)
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.end = nn.Linear(now * height * breadth, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """The scores."""
        return self.end(self.features(2.0 * x - 1.0))  # type: ignore[no-any-return]


def train_generator(
    records: Tensor,
    training: GeneratorTraining,
    rng: np.random.Generator,
    device: str = "cpu",
    progress: Progress = silent,
) -> TrainedGenerator:
    """Train a generator on images (n, C, H, W) in [0, 1], which are left as they are.

    The same generator `rng` gives the same weights on the same device. Raises ValueError for too few records.
    """
    if len(records) < LEAST:
        raise ValueError(f"a generator is trained on at least {LEAST} records, not {len(records)}")
    shape, draw = tuple(records.shape[1:]), torch.Generator(device).manual_seed(int(rng.integers(2**63 - 1)))
    real = records.detach().to(device, torch.float32)
    maker = fresh(lambda: Generator(shape, training.latent, training.width), draw)
    critic = fresh(lambda: Critic(shape, 2 * training.width), draw)
    adams = [torch.optim.Adam(one.parameters(), training.rate, betas=(0.5, 0.9)) for one in (maker, critic)]
    trace = []
    for turn in range(training.steps):
        for _ in range(training.critic):
            apart = _train_critic(maker, critic, real, training, adams[1], draw)
        _train_maker(maker, critic, training, adams[0], draw)
        if turn % max(1, training.steps // 50) == 0:
            trace.append(float(apart))
            progress(turn / training.steps)
    progress(1.0)
    return TrainedGenerator(maker.eval().requires_grad_(False), tuple(trace))


def _train_critic(
    maker: Generator,
    critic: Critic,
    real: Tensor,
    training: GeneratorTraining,
    adam: torch.optim.Optimizer,
    draw: torch.Generator,
) -> Tensor:
    """One step of the critic; the estimated distance before it."""
    seen = real[torch.randint(len(real), (training.batch,), generator=draw, device=real.device)]
    with torch.no_grad():
        made = maker(noise(training.batch, maker.latent, draw))
    mix = torch.rand(training.batch, 1, 1, 1, generator=draw, device=real.device)
    between = (mix * seen + (1.0 - mix) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    apart = critic(seen).mean() - critic(made).mean()
    steep = ((slope.flatten(1).norm(dim=1) - 1.0) ** 2).mean()
    adam.zero_grad()
    (training.penalty * steep - apart).backward()
    adam.step()
    return apart.detach()


def _train_maker(
    maker: Generator, critic: Critic, training: GeneratorTraining, adam: torch.optim.Optimizer, draw: torch.Generator
) -> None:
    adam.zero_grad()
    (-critic(maker(noise(training.batch, maker.latent, draw))).mean()).backward()
    adam.step()


def noise(count: int, latent: int, draw: torch.Generator) -> Tensor:
    """(count, latent): standard normal."""
    return torch.randn(count, latent, generator=draw, device=draw.device)


def fresh(make: Callable[[], M], draw: torch.Generator) -> M:
    """A network with DCGAN's weights, normal with a deviation of He's rule, from the generator's device and seed."""
    with torch.device("meta"):
        empty = make()
    made = empty.to_empty(device=draw.device)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, _deviation(module), generator=draw)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return made


def _deviation(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    if isinstance(module, nn.ConvTranspose2d):
        stride = module.stride[0] * module.stride[1]
        return math.sqrt(2.0 * stride / (module.in_channels * module.weight[0, 0].numel()))
    return math.sqrt(2.0 / module.weight[0].numel())


def to_bytes(generator: Generator) -> bytes:
    """The weights as safetensors; the sizes stand in its metadata."""
    sizes = {SHAPE: list(generator.shape), "latent": generator.latent, "width": generator.width}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    return save(tensors, {"generator": json.dumps(sizes)})


def from_bytes(data: bytes, device: str = "cpu") -> Generator:
    """The generator of `to_bytes`, in evaluation mode. Raises InvalidUpload for anything else."""
    rule, fix = "A file of a generator is what its training stored.", "Train a generator, and use its file."
    try:
        if len(data) > LARGEST:
            raise ValueError(f"{len(data)} bytes")
        # The metadata stand in the header, whose length is the number in the first eight bytes.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        sizes = json.loads(header["__metadata__"]["generator"])
        with torch.device("meta"):
            made = Generator(*_checked(sizes))
        # What the file holds takes the place of tensors that never were in memory, once names and sizes agree.
        made.load_state_dict(load(data), assign=True)
        if not all(bool(tensor.isfinite().all()) for tensor in made.state_dict().values()):
            raise ValueError("a weight is not finite")
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InvalidUpload([Reason(rule, str(error)[:200], fix)]) from error
    return made.to(device, torch.float32).eval().requires_grad_(False)


def _checked(sizes: dict[str, object]) -> tuple[tuple[int, ...], int, int]:
    shape, rest = sizes[SHAPE], (sizes["latent"], sizes["width"])
    if not isinstance(shape, list) or not all(isinstance(n, int) and 0 < n <= MOST for n in (*shape, *rest)):
        raise ValueError(f"the sizes {sizes} are not whole numbers up to {MOST}")
    return tuple(shape), int(str(rest[0])), int(str(rest[1]))


def _images(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ValueError(f"generators make images (C, H, W), not records of the shape {shape}")
    return tuple(shape)


def _blocks(shape: tuple[int, ...]) -> int:
    """Doublings from the smallest feature maps to an image of this size or larger."""
    return max(0, math.ceil(math.log2(max(shape[1:]) / SMALLEST)))
