"""The white-box attack without known members: shadow models of the target's own architecture show how they look."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.attacks.membership import attack_network, signals
from app.attacks.membership.base import MembershipAttack, Progress, Records, Target, silent
from app.attacks.membership.gradient_norm import norms
from app.attacks.membership.references import halves, identities
from app.parameters import parameter
from app.training import Recipe, Stack, train

Floats = NDArray[np.float64]


class Lookalike(nn.Module):
    """A fresh model that computes what the target's code computes, with weights of its own."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        if target.parameters is None or target.forward is None:
            raise ValueError("a white-box attack needs the weights of the target")
        self.names = tuple(target.parameters)
        self.compute = target.forward
        # Parameters must not have dots in their names, which those of a target do.
        self.weights = nn.ParameterList(_fresh(tensor) for tensor in target.parameters.values())

    def forward(self, x: Tensor) -> Tensor:
        """(n, K) logits."""
        return self.compute(dict(zip(self.names, self.weights, strict=True)), x)


def _fresh(tensor: Tensor) -> nn.Parameter:
    """Torch's own start of linear and convolutional layers; vectors, which may be scales, at their mean."""
    if tensor.ndim < 2:
        return nn.Parameter(torch.full_like(tensor, float(tensor.mean())).cpu(), tensor.is_floating_point())
    bound = float(np.prod(tensor.shape[1:])) ** -0.5
    return nn.Parameter((torch.rand(tensor.shape) * 2.0 - 1.0) * bound)


@dataclass(frozen=True)
class WhiteBoxShadows(MembershipAttack):
    """An attack network learns from gradient norms and outputs of shadow models, and is asked about the target's."""

    title: ClassVar[str] = "White-box gradients with shadows"
    source: ClassVar[str] = (
        "Nasr, Shokri and Houmansadr, 2019, IEEE S&P, passive attack; members are not known, so it learns from shadows"
        " of the same architecture (Shokri et al., 2017), and sees the norm of each tensor's gradient, because entries"
        " of a gradient mean different things in different models"
    )

    models: int = parameter(4, "Shadow models; even, because they come in pairs.", minimum=2, maximum=64)
    epochs: int = parameter(30, "Passes of a shadow model.", minimum=1, maximum=1000)
    batch: int = parameter(64, "Records of one step.", minimum=1, maximum=4096)
    rate: float = parameter(0.1, "Learning rate of SGD.", minimum=1e-6, maximum=10.0)
    momentum: float = parameter(0.9, "Momentum of SGD.", minimum=0.0, maximum=0.999)
    hidden: int = parameter(64, "Hidden units of the attack network.", minimum=1, maximum=1024)
    attack_epochs: int = parameter(30, "Its passes.", minimum=1, maximum=1000)

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) log-odds of membership. Raises ValueError when the target does not show its weights."""
        shadows = Stack.fresh(lambda: Lookalike(target), self.models, rng, device)
        everyone = np.arange(len(population))
        inside = halves(identities(population.x, population.y), everyone, self.models, 0, rng)
        x, y = torch.from_numpy(population.x).to(device), torch.from_numpy(population.y).to(device)
        recipe = Recipe(self.epochs, self.batch, self.rate, self.momentum)
        rows = [np.flatnonzero(mask) for mask in inside]
        trained = train(shadows, x, y, rows, recipe, rng, progress=lambda share: progress(0.6 * share))
        seen = np.concatenate(
            [self._seen(_shown(target, trained, model), population, device) for model in range(self.models)]
        )
        chosen = attack_network.balanced(inside.reshape(-1), rng)
        middle, spread = seen[chosen].mean(axis=0), np.maximum(seen[chosen].std(axis=0), 1e-9)
        recipe = Recipe(self.attack_epochs, 256, 3e-3, optimiser="adam")
        network = attack_network.fitted(
            (seen - middle) / spread, inside.reshape(-1), [chosen], self.hidden, recipe, rng, device
        )
        progress(1.0)
        asked = (self._seen(target, candidates, device) - middle) / spread
        # What lies far outside of all that was learned from says no more than its edge.
        return attack_network.log_odds(network, np.clip(asked, -6.0, 6.0))[0]

    def _seen(self, target: Target, records: Records, device: str) -> Floats:
        """(n, features): logs of the gradient norms by every tensor, and statistics of the prediction."""
        x, y = torch.from_numpy(records.x).to(device), torch.from_numpy(records.y).to(device)
        slopes = np.log(norms(target, x, y).double().cpu().numpy() + 1e-12)
        logits = target.logits(records.x)
        said = [
            signals.scaled_logit(logits, records.y),
            signals.negative_entropy(logits),
            signals.is_right(logits, records.y),
        ]
        return np.concatenate([slopes, np.stack(said, axis=1)], axis=1)


def _shown(target: Target, shadows: Stack, model: int) -> Target:
    """One of the shadows as a target whose weights are seen."""
    parts = shadows.weights(model)
    weights = {name: parts[f"weights.{place}"] for place, name in enumerate(target.parameters or {})}
    device = shadows.device

    def logits(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            chunks = torch.from_numpy(x).split(512)
            return torch.cat([shadows.forward(parts, chunk.to(device)) for chunk in chunks]).cpu().numpy()

    return Target(target.classes, logits, parameters=weights, forward=target.forward)
