"""A malicious client: it plays in a federation and learns to imitate the records of a class that it does not own.

No attack on one observation: it needs the rounds of a federation, which are given to it as a function. The global
model serves as the discriminator of a GAN. The attacker labels its imitations as a class of its own, which makes the
owners of the tracked class teach the global model, and so the attacker, what sets the real records apart.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from app.attacks.gradients.base import Progress, Unsuited, silent
from app.attacks.gradients.generators import Critic, Generator, fresh, noise
from app.parameters import parameter

Attacker = Callable[[nn.Module], nn.Module]
"""The attacker's turn: it gets the global model of a round, leaves it as it is, and gives back its own."""
FederatedRound = Callable[[nn.Module, Attacker, int], nn.Module]
"""One round of the federation, by its number from 0: the honest clients train from the global model, the attacker's
turn takes the place of its local training, and the average of all is the next global model."""
JUDGE_EPOCHS, JUDGE_BATCH, JUDGE_RATE = 60, 64, 2e-3
JUDGE_LATENT, JUDGE_WIDTH = 32, 8


@dataclass(frozen=True)
class Imitated:
    """Deep models under the GAN: Hitaj, Ateniese and Perez-Cruz, 2017, CCS, algorithm 1.

    Variant: the classes of attacker and victims are disjoint by force, and Adam trains the generator.
    """

    rounds: int = parameter(30, "Rounds of the federation.", minimum=1, maximum=10_000)
    tracked: int = parameter(3, "The class that is imitated.", minimum=0, maximum=100_000)
    passes: int = parameter(2, "Passes of the attacker over its records in a round.", minimum=1, maximum=1000)
    batch: int = parameter(50, "Records of one step.", minimum=2, maximum=100_000)
    maker_rate: float = parameter(5e-4, "Learning rate of the generator.", minimum=1e-7, maximum=1.0)
    rate: float = parameter(0.1, "Learning rate of the attacker's own model.", minimum=1e-7, maximum=10.0)
    share: float = parameter(
        2.0, "Imitations that the attacker adds under the extra class, per own record.", minimum=0.0, maximum=10.0
    )
    latent: int = parameter(64, "Values of the latent vector.", minimum=1, maximum=4096)
    width: int = parameter(16, "Channels of the generator's last block.", minimum=1, maximum=1024)
    images: int = parameter(64, "Imitations that are judged after every round.", minimum=1, maximum=10_000)


@dataclass(frozen=True)
class Shares:
    """Who owns what. Images are (n, C, H, W) in [0, 1], labels (n,)."""

    own_x: Tensor
    own_y: Tensor
    """The attacker's records; none is of the tracked class."""
    judge_x: Tensor
    judge_y: Tensor
    """Real records of all classes that no client owns, on which the judge of the imitations is trained."""
    classes: int
    """Real classes; the global model has one output more."""


@dataclass(frozen=True)
class Imitation:
    """What the malicious client has learnt to make."""

    images: Tensor
    """(images, C, H, W) in [0, 1]: those of the last round."""
    scores: tuple[float, ...]
    """After every round the share of the imitations that the judge takes for the tracked class, and that are as near to
    a real record of it as real ones are to each other."""
    untrained: float
    """That share before the first round: what chance gives."""
    judge_accuracy: float
    """Of the judge on records that it was not trained on."""
    snapshots: Tensor
    """(rounds, C, H, W): the imitation of one and the same latent vector after every round."""


def imitate(
    shares: Shares,
    settings: Imitated,
    model: nn.Module,
    federated_round: FederatedRound,
    rng: np.random.Generator,
    device: str = "cpu",
    progress: Progress = silent,
) -> Imitation:
    """Play in a federation from the weights of `model`, which is left as it is.

    The same `rng` and rounds give the same result. Raises Unsuited when the shares do not make an attack: the attacker
    owns records of the tracked class or none at all, the class is none of the others', or the model has no output for
    the extra class.
    """
    _check(shares, settings, model)
    draw = torch.Generator(device).manual_seed(int(rng.integers(2**63 - 1)))
    judge = _Judge(shares, settings.tracked, draw)
    client = MaliciousClient(shares, settings, draw)
    fixed, scores, snapshots = noise(settings.images, settings.latent, draw), list[float](), list[Tensor]()
    untrained = judge.score(client.images(fixed))
    now = copy.deepcopy(model).to(device)
    for number in range(settings.rounds):
        now = federated_round(now, client, number)
        images = client.images(fixed)
        scores.append(judge.score(images))
        snapshots.append(images[0])
        progress((number + 1) / settings.rounds)
    return Imitation(images, tuple(scores), untrained, judge.accuracy, torch.stack(snapshots))


class MaliciousClient:
    """The attacker's turn in a round; its generator lives on from round to round."""

    def __init__(self, shares: Shares, settings: Imitated, draw: torch.Generator) -> None:
        """Draw a generator on the device of `draw`."""
        self.settings, self.extra, self._draw = settings, shares.classes, draw
        self._x, self._y = (part.detach().to(draw.device) for part in (shares.own_x, shares.own_y))
        shape = tuple(shares.own_x.shape[1:])
        self.maker = fresh(lambda: Generator(shape, settings.latent, settings.width), draw)
        self._adam = torch.optim.Adam(self.maker.parameters(), settings.maker_rate, betas=(0.5, 0.999))

    def __call__(self, server: nn.Module) -> nn.Module:
        """The attacker's model: the generator learns against the global one, then both kinds of records are learnt."""
        own = copy.deepcopy(server).to(self._x.device)
        sgd = torch.optim.SGD(own.parameters(), self.settings.rate)
        for _ in range(self.settings.passes):
            order = torch.randperm(len(self._x), generator=self._draw, device=self._x.device)
            for rows in order.split(self.settings.batch):
                self._learn_to_make(own)
                self._learn(own, sgd, rows)
        return own

    def images(self, z: Tensor) -> Tensor:
        """(n, C, H, W): what the generator makes of latent vectors (n, latent)."""
        self.maker.eval()
        with torch.no_grad():
            return self.maker(z)  # type: ignore[no-any-return]

    def _learn_to_make(self, discriminator: nn.Module) -> None:
        """One step of the generator towards what the model takes for the tracked class."""
        discriminator.eval()
        self.maker.train()
        made = self.maker(noise(self.settings.batch, self.settings.latent, self._draw))
        wanted = torch.full((len(made),), self.settings.tracked, device=made.device)
        loss = nn.functional.cross_entropy(discriminator(made), wanted)
        slopes = torch.autograd.grad(loss, list(self.maker.parameters()))
        for tensor, slope in zip(self.maker.parameters(), slopes, strict=True):
            tensor.grad = slope
        self._adam.step()

    def _learn(self, own: nn.Module, sgd: torch.optim.Optimizer, rows: Tensor) -> None:
        """One step of the attacker's model on its own records, and on imitations under the extra class."""
        own.train()
        count = round(self.settings.share * len(rows))
        x, y = self._x[rows], self._y[rows]
        if count:
            made = self.images(noise(count, self.settings.latent, self._draw))
            x, y = torch.cat([x, made]), torch.cat([y, y.new_full((count,), self.extra)])
        sgd.zero_grad()
        nn.functional.cross_entropy(own(x), y).backward()
        sgd.step()


def _check(shares: Shares, settings: Imitated, model: nn.Module) -> None:
    own = set(shares.own_y.unique().tolist())
    if not own:
        raise Unsuited("the attacker owns no record and cannot take part")
    if not 0 <= settings.tracked < shares.classes:
        raise Unsuited(f"there is no class {settings.tracked} among {shares.classes}")
    if settings.tracked in own:
        raise Unsuited(f"the attacker owns records of class {settings.tracked}, so that imitating them shows nothing")
    if int((shares.judge_y == settings.tracked).sum()) < 2:
        raise Unsuited(f"there are no independent records of class {settings.tracked} to judge the imitations by")
    if shares.own_x.ndim != 4:
        raise Unsuited("the generator makes images (C, H, W), not table rows")
    with torch.no_grad():
        outputs = copy.deepcopy(model).eval()(shares.own_x[:1].to(next(model.parameters()).device)).shape[1]
    if outputs != shares.classes + 1:
        raise Unsuited(
            f"the model has {outputs} outputs, not one for each of {shares.classes} classes and the extra one"
        )


class _Judge:
    """Tells what is a record of the tracked class, from independent real records.

    A classifier alone is fooled by images that are like nothing it has seen: it takes them for any class. So an image
    also has to be as near to a real record of the class as the farthest one of these is to its nearest other one.
    """

    def __init__(self, shares: Shares, tracked: int, draw: torch.Generator) -> None:
        self.tracked = tracked
        self.network, self.accuracy = _judge(shares, draw)
        self.real = shares.judge_x[shares.judge_y == tracked].detach().to(draw.device).flatten(1)
        apart = torch.cdist(self.real, self.real).fill_diagonal_(torch.inf)
        self.reach = float(apart.amin(1).amax())

    def score(self, images: Tensor) -> float:
        """The share of the images that are like records of the tracked class."""
        with torch.no_grad():
            taken = self.network(images).argmax(1) == self.tracked
        near = torch.cdist(images.flatten(1), self.real).amin(1) <= self.reach
        return float((taken & near).float().mean())


def _judge(shares: Shares, draw: torch.Generator) -> tuple[nn.Module, float]:
    """A classifier of independent real records, and its accuracy on every fifth of them, which it is not shown.

    It also learns what is no record at all: otherwise it would have to give noise to one of the real classes.
    """
    x, y = (part.detach().to(draw.device) for part in (shares.judge_x, shares.judge_y))
    held = torch.arange(len(y), device=draw.device) % 5 == 4
    shape = tuple(x.shape[1:])
    judge = fresh(lambda: Critic(shape, 32, shares.classes + 1), draw)
    adam = torch.optim.Adam(judge.parameters(), JUDGE_RATE)
    known = (~held).nonzero()[:, 0]
    for _ in range(JUDGE_EPOCHS):
        blank = fresh(lambda: Generator(shape, JUDGE_LATENT, JUDGE_WIDTH), draw).eval()
        for rows in known[torch.randperm(len(known), generator=draw, device=draw.device)].split(JUDGE_BATCH):
            nothing = _no_records(x[rows], blank, draw)
            seen = torch.cat([x[rows], nothing])
            told = torch.cat([y[rows], y.new_full((len(nothing),), shares.classes)])
            adam.zero_grad()
            nn.functional.cross_entropy(judge(seen), told).backward()
            adam.step()
    with torch.no_grad():
        right = (judge(x[held]).argmax(1) == y[held]).float()
    return judge, float(right.mean()) if len(right) else 0.0


def _no_records(x: Tensor, blank: Generator, draw: torch.Generator) -> Tensor:
    """(2 n, ...): records with their pixels in another order, and what an untrained generator makes."""
    flat = x.flatten(1)
    order = torch.rand(flat.shape, generator=draw, device=draw.device).argsort(1)
    with torch.no_grad():
        return torch.cat([flat.gather(1, order).reshape(x.shape), blank(noise(len(x), JUDGE_LATENT, draw))])
