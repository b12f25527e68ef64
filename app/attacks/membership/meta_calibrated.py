"""A score that is learned from the reference models themselves: each in turn plays the target."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.attacks.membership import bayes_optimal, lira, signals
from app.attacks.membership.base import Progress, Records, Target, silent
from app.attacks.membership.references import ReferenceAttack, References, answers
from app.parameters import parameter

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
TEMPERATURE = 2.0


@dataclass(frozen=True)
class MetaCalibrated(ReferenceAttack):
    """Boosted trees over the statistics of all other attacks, fitted on what the references are known to contain."""

    title: ClassVar[str] = "Meta-calibrated"
    source: ClassVar[str] = (
        "Own: stacking (Wolpert, 1992, Neural Networks) of the statistics of LiRA (Carlini et al., 2022) and BASE"
        " (Lassila et al., 2025); every reference is a pseudo-target that is judged without itself and its complement"
    )

    models: int = parameter(8, "Reference models; even, because they come in pairs.", minimum=4, maximum=256)
    trees: int = parameter(100, "Boosted trees.", minimum=1, maximum=2000)
    leaves: int = parameter(8, "Leaves of each.", minimum=2, maximum=255)
    step: float = parameter(0.08, "Weight of each tree.", minimum=1e-3, maximum=1.0)
    rows: int = parameter(60_000, "Records to learn from, at most.", minimum=100, maximum=10_000_000)

    def __call__(
        self,
        target: Target,
        candidates: Records,
        population: Records,
        rng: np.random.Generator,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Floats:
        """(n,) log-odds of membership."""
        made = self.references(target.classes, candidates, population, rng, device, progress, online=True)
        return self.score(answers(target, made, candidates, population), made, rng)

    def score(self, logits: NDArray, references: References, rng: np.random.Generator) -> Floats:
        """(candidates,): log-odds of membership from a target's logits (n, K) for all records of the references."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        known = Known.of(references)
        inputs = np.concatenate([known.features(known.at(j), references.without(j)) for j in range(len(references))])
        labels = references.inside.reshape(-1)
        if len(labels) > self.rows:
            kept = rng.choice(len(labels), self.rows, replace=False)
            inputs, labels = inputs[kept], labels[kept]
        forest = HistGradientBoostingClassifier(
            learning_rate=self.step,
            max_iter=self.trees,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=40,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=int(rng.integers(2**31)),
        ).fit(inputs, labels)
        n = references.candidates
        own = Own.of(logits, references.y)
        # The trees saw statistics of all pairs but one, so the target is judged by such sets too: their mean counts.
        asked = [known.features(own, references.without(j))[:n] for j in range(0, len(references), 2)]
        judged: Floats = forest.decision_function(np.concatenate(asked)).reshape(-1, n).mean(axis=0)
        return judged


@dataclass(frozen=True)
class Own:
    """What a model says about the records, each (n,)."""

    scaled: Floats
    log_p: Floats
    soft: Floats
    """The log-probability at a temperature."""
    sure: Floats
    """Minus the entropy."""

    @classmethod
    def of(cls, logits: NDArray, y: NDArray) -> "Own":
        """Of logits (n, K)."""
        return cls(
            signals.scaled_logit(logits, y),
            signals.log_probability(logits, y),
            signals.log_probability(logits, y, TEMPERATURE),
            signals.negative_entropy(logits),
        )


@dataclass(frozen=True)
class Known:
    """What the references say about the records, computed once; each (R, n)."""

    scaled: Floats
    log_p: Floats
    soft: Floats
    sure: Floats
    inside: Mask

    @classmethod
    def of(cls, references: References) -> "Known":
        """Of all references."""
        soft = signals.log_probability(references.logits, references.y, TEMPERATURE)
        sure = signals.negative_entropy(references.logits)
        return cls(references.scaled, references.log_p, soft, sure, references.inside)

    def at(self, model: int) -> Own:
        """What one of the references says."""
        return Own(self.scaled[model], self.log_p[model], self.soft[model], self.sure[model])

    def features(self, own: Own, others: Mask) -> Floats:
        """(n, features): a model's statistics against those of the other models (R,)."""
        scaled, inside = self.scaled[others], self.inside[others]
        into, out = lira.Side.of(scaled, inside, False), lira.Side.of(scaled, ~inside, False)
        everyone = np.ones_like(inside)
        columns = [
            own.scaled,
            into.middle,
            out.middle,
            own.scaled - into.middle,
            own.scaled - out.middle,
            into.log_density(own.scaled) - out.log_density(own.scaled),
            bayes_optimal.score(own.soft, self.soft[others], everyone),
            bayes_optimal.score(own.log_p, self.log_p[others], everyone),
            bayes_optimal.score(own.soft, self.soft[others], ~inside),
            into.middle - out.middle,
            np.std(scaled, axis=0),
            np.max(np.where(inside, -np.inf, scaled), axis=0, initial=-1e3),
            np.min(np.where(inside, scaled, np.inf), axis=0, initial=1e3),
            own.sure,
            own.log_p,
        ]
        return np.stack(columns, axis=1)
