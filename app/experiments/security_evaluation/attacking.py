"""Runs the attack: the curve of all samples, and the paths of a few for a closer look."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.attacks.evasion.apgd import Apgd, TargetedApgd
from app.attacks.evasion.auto_attack import AutoAttack
from app.attacks.evasion.base import Box, FixedBudget, MinimumDistance, Progress, part, predictions
from app.attacks.evasion.carlini_wagner import CarliniWagner
from app.attacks.evasion.curve import Evaluation, SecurityCurve, evaluate
from app.attacks.evasion.fab import Fab
from app.attacks.evasion.fmn import Fmn
from app.attacks.evasion.honesty import Flag
from app.attacks.evasion.minimum_norm import MinimumNorm
from app.attacks.evasion.noise import UniformNoise
from app.attacks.evasion.norms import Norm
from app.attacks.evasion.pgd import Pgd
from app.attacks.evasion.square import Square
from app.experiments.security_evaluation import inspection, trust
from app.experiments.security_evaluation.choices import ATTACKS as CHOICES
from app.experiments.security_evaluation.inspection import Inspection
from app.experiments.security_evaluation.parameters import Parameters
from app.experiments.security_evaluation.target import Target
from app.image_sets import ImageSet
from app.parameters import describe, parse

Floats = NDArray[np.float64]
Attack = FixedBudget | MinimumDistance

ATTACKS: dict[str, type[Attack]] = {
    "standard": AutoAttack,
    "minimum-norm": MinimumNorm,
    "pgd-linf": Pgd,
    "pgd-l2": Pgd,
    "pgd-l1": Pgd,
    "cw": CarliniWagner,
    "noise-linf": UniformNoise,
    "noise-l2": UniformNoise,
    "apgd-ce": Apgd,
    "apgd-t": TargetedApgd,
    "fmn": Fmn,
    "fab": Fab,
    "square": Square,
}
CURVE, PATHS, CHECKS = 0.7, 0.85, 1.0
"""Where in the progress each part of the work ends."""


@dataclass(frozen=True)
class Question:
    """What is asked about the model: the samples, and how far they may be moved."""

    model: Target
    x: Tensor
    y: Tensor
    sizes: Floats
    """(E,): perturbation sizes in input units, ascending from 0."""
    norm: Norm
    box: Box
    batch: int

    def first(self, count: int) -> "Question":
        """The same about the first samples only."""
        return replace(self, x=self.x[:count], y=self.y[:count])


@dataclass(frozen=True)
class Findings:
    """What was found; arrays are in the order of the chosen samples."""

    attack: Attack
    question: Question
    clean: NDArray[np.int64]
    """(N,): the classes that the model gives to the samples as they are."""
    curve: SecurityCurve
    adversarial: Tensor
    """(N, C, H, W): the closest error of each sample, or the sample itself."""
    inspection: Inspection
    flags: tuple[Flag, ...]
    """Reasons not to trust the curve."""


def build(parameters: Parameters, width: float) -> Attack:
    """The chosen attack; what was left at 0 keeps the attack's own default. `width` is that of the input range."""
    kind = ATTACKS[parameters.attack]
    chosen = {field.name: getattr(parameters, field.name, 0) for field in describe(kind)}
    if "abs_stepsize" in chosen:
        chosen["abs_stepsize"] *= width
    return parse(kind, {name: value for name, value in chosen.items() if value})


def run(
    model: Target, images: ImageSet, parameters: Parameters, rng: np.random.Generator, progress: Progress
) -> Findings:
    """Attack the model on all of `images`."""
    question = _question(model, images, parameters)
    attack = build(parameters, question.box.width)
    first = _curve(attack, question, rng, part(progress, 0.0, CURVE))
    few = min(parameters.inspected, inspection.most(question))
    seen = _look(attack, question.first(few), _first(first, few), parameters, rng, part(progress, CURVE, PATHS))
    whole = _with_paths(first, seen)
    checked = part(progress, PATHS, CHECKS)
    flags = trust.flags(question, rng, checked) if parameters.checks else ()
    progress(1.0)
    clean = predictions(model, question.x, question.batch).cpu().numpy()
    return Findings(attack, question, clean, whole.curve, whole.adversarial, seen, flags)


def _question(model: Target, images: ImageSet, parameters: Parameters) -> Question:
    x, y = (torch.from_numpy(array).to(model.device) for array in (images.samples, images.labels))
    box = Box(images.low, images.high)
    sizes = np.array(parameters.values()) * box.width
    norm, batch = Norm(parameters.chosen_norm()), model.batch(x[0].numel())
    return Question(model, x, y, sizes, norm, box, batch)


def _curve(attack: Attack, question: Question, rng: np.random.Generator, progress: Progress) -> Evaluation:
    asked = (question.model, question.x, question.y, question.sizes.tolist(), question.norm, question.box)
    return evaluate(attack, *asked, rng, progress, question.batch)


def _look(
    attack: Attack,
    few: Question,
    known: Evaluation,
    parameters: Parameters,
    rng: np.random.Generator,
    progress: Progress,
) -> Inspection:
    if not CHOICES[parameters.attack].knows_path:
        return inspection.recall(few, known)
    return inspection.inspect(attack, few, known, rng, progress)


def _first(found: Evaluation, count: int) -> Evaluation:
    curve = SecurityCurve(found.curve.epsilons, found.curve.distance[:count])
    return Evaluation(curve, found.adversarial[:count], found.epsilon[:count], found.attempt[:count])


def _with_paths(first: Evaluation, seen: Inspection) -> Evaluation:
    """The curve with what the recorded runs have found besides: the worst case of everything that was tried."""
    distance, adversarial = first.curve.distance.copy(), first.adversarial.clone()
    closer = np.flatnonzero(seen.distance < distance[: len(seen.distance)])
    distance[closer] = seen.distance[closer]
    adversarial[closer] = seen.closest[closer].to(adversarial)
    return replace(first, curve=SecurityCurve(first.curve.epsilons, distance), adversarial=adversarial)
