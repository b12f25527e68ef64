"""ML-Leaks: three adversaries that know less and less."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import attack_network, signals
from app.attacks.membership.base import MembershipAttack, Progress, Records, Target, silent
from app.attacks.membership.references import ReferenceAttack, References
from app.parameters import parameter
from app.training import Recipe

SOURCE = "Salem, Zhang, Humbert, Berrang, Fritz and Backes, 2019, NDSS, adversary"


@dataclass(frozen=True)
class _Shadowed(ReferenceAttack):
    """One shadow model, and one attack network on its highest probabilities."""

    models: int = parameter(2, "Shadow models; even: the paper's one, and its complement.", minimum=2, maximum=256)
    highest: int = parameter(3, "How many of the highest probabilities are used.", minimum=1, maximum=100)
    hidden: int = parameter(64, "Hidden units of the attack network.", minimum=1, maximum=1024)
    attack_epochs: int = parameter(50, "Its passes.", minimum=1, maximum=1000)
    attack_rate: float = parameter(1e-2, "Its learning rate (Adam).", minimum=1e-6, maximum=1.0)

    def _judge(
        self, target: Target, made: References, candidates: Records, rng: np.random.Generator, device: str
    ) -> NDArray[np.float64]:
        """(n,): what a network that learned from the shadows says about the target's answers."""
        start = made.candidates
        inputs = attack_network.highest_probabilities(made.logits[:, start:], self.highest).reshape(-1, self.highest)
        is_member = made.inside[:, start:].reshape(-1)
        recipe = Recipe(self.attack_epochs, 256, self.attack_rate, optimiser="adam")
        rows = [attack_network.balanced(is_member, rng)]
        network = attack_network.fitted(inputs, is_member, rows, self.hidden, recipe, rng, device)
        asked = attack_network.highest_probabilities(target.logits(candidates.x), self.highest)
        return attack_network.log_odds(network, asked)[0]


@dataclass(frozen=True)
class MlLeaks1(_Shadowed):
    """A shadow model on records of the same distribution; neither its architecture nor labels need to be right."""

    title: ClassVar[str] = "ML-Leaks 1"
    source: ClassVar[str] = f"{SOURCE} 1; the shadow is complemented by one on its other half"

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) log-odds of membership."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=False)
        return self._judge(target, made, candidates, rng, device)


@dataclass(frozen=True)
class MlLeaks2(_Shadowed):
    """A shadow model on records of another distribution: sorted probabilities have no classes."""

    title: ClassVar[str] = "ML-Leaks 2"
    source: ClassVar[str] = f"{SOURCE} 2; the other data are scikit-learn's handwritten digits unless given"

    foreign: Records | None = field(default=None, repr=False, compare=False)
    """The other data set; None takes the digits."""

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) log-odds of membership; the population is not used."""
        foreign = self.foreign or _digits()
        nobody = foreign.take(np.arange(0))
        classes = int(foreign.y.max()) + 1
        made = self.references(classes, nobody, foreign, rng, device, progress, online=False)
        return self._judge(target, made, candidates, rng, device)


@dataclass(frozen=True)
class MlLeaks3(MembershipAttack):
    """No shadow at all: a statistic of the probabilities, whatever the label."""

    title: ClassVar[str] = "ML-Leaks 3"
    source: ClassVar[str] = f"{SOURCE} 3; the statistic is the score, the threshold is left out"

    statistic: str = parameter(
        "highest",
        "The highest probability, their standard deviation, or minus their entropy.",
        choices=("highest", "deviation", "entropy"),
    )

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """(n,) values of the statistic; the highest probability as its log-odds, which do not round to infinity."""
        logits = target.logits(candidates.x)
        if self.statistic == "entropy":
            return signals.negative_entropy(logits)
        if self.statistic == "deviation":
            return np.exp(signals.log_softmax(logits)).std(axis=-1)
        return signals.scaled_logit(logits, signals.finite(logits).argmax(axis=-1))


def _digits() -> Records:
    from app.record_sets.digits import digits

    found = digits()
    return Records(found.x, found.y)
