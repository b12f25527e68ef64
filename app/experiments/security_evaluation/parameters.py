"""What a person sets for a security evaluation, read and checked before anything is queued; loads no torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidParameters
from app.experiments.security_evaluation.choices import ATTACKS, LINF, NORMS, norm_of
from app.parameters import parameter

FAST = 100
"""Samples of a fast evaluation."""
MAX_VALUES, MAX_INDEXES = 50, 10_000
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OWN = "0 takes the attack's own."


@dataclass(frozen=True)
class Parameters:
    """The parameters of one evaluation; texts that hold lists are read by the methods."""

    attack: str = parameter(
        "pgd-linf", "What is tried; several starts or a stronger attack lower the curve.", choices=tuple(ATTACKS)
    )
    norm: str = parameter(
        "auto", "How a perturbation is measured; auto takes the attack's own.", choices=("auto", *NORMS)
    )
    perturbation_values: str = parameter(
        "0, 0.01, 0.02, 0.03, 0.04, 0.05",
        "Sizes of the perturbation as shares of the input range (0.05 is 5 % of it), separated by commas; fractions "
        "such as 8/255 are numbers. They are sorted, and 0 is added.",
    )
    evaluation_mode: str = parameter(
        "fast",
        f"fast takes {FAST} samples, as many of each class as possible, chosen by the seed; complete takes all.",
        choices=("fast", "complete", "indexes"),
    )
    indexes: str = parameter("", "With the mode indexes: numbers of samples from 0, such as 0, 5, 10-19.")
    preprocessing: str = parameter(
        "none",
        "What the model expects between the input and its first layer: (x - mean) / std of each channel.",
        choices=("none", "imagenet", "custom"),
    )
    mean: str = parameter("", "With custom preprocessing: one number, or one for each channel.")
    std: str = parameter("", "With custom preprocessing: one number, or one for each channel.")
    steps: int = parameter(0, f"Gradient steps. {OWN}", minimum=0, maximum=10_000)
    restarts: int = parameter(0, f"Starts. {OWN}", minimum=0, maximum=100)
    rel_stepsize: float = parameter(0.025, "PGD: length of a step as a share of epsilon.", minimum=1e-6, maximum=10.0)
    abs_stepsize: float = parameter(
        0.0,
        "PGD: length of a step as a share of the input range; 0 takes the share of epsilon.",
        minimum=0.0,
        maximum=1e6,
    )
    random_start: bool = parameter(False, "PGD: begin at a random point of the ball.")
    binary_search_steps: int = parameter(9, "Carlini and Wagner: values of c that are tried.", minimum=1, maximum=20)
    confidence: float = parameter(0.0, "Carlini and Wagner: margin of an error (kappa).", minimum=0.0, maximum=1e6)
    initial_const: float = parameter(1e-3, "Carlini and Wagner: the first c.", minimum=1e-12, maximum=1e10)
    abort_early: bool = parameter(False, "Carlini and Wagner: stop when the loss no longer falls.")
    stepsize: float = parameter(0.01, "Carlini and Wagner: rate of Adam.", minimum=1e-9, maximum=1e3)
    targets: int = parameter(0, f"Targeted attacks: wrong classes that are aimed at. {OWN}", minimum=0, maximum=1000)
    repeats: int = parameter(0, f"Noise: draws for each sample. {OWN}", minimum=0, maximum=10_000)
    queries: int = parameter(0, f"Square: questions to the model for each sample. {OWN}", minimum=0, maximum=100_000)
    inspected: int = parameter(10, "Samples whose images and paths are kept for a closer look.", minimum=0, maximum=50)
    checks: bool = parameter(True, "Check whether the result can be trusted, which takes a few more attacks.")

    def __post_init__(self) -> None:
        """Refuse texts that cannot be read, all at once. Raises InvalidParameters."""
        readers: dict[str, Callable[[], Any]] = {
            "norm": self.chosen_norm,
            "perturbation_values": self.values,
            "indexes": self.rows,
            "mean": lambda: self.scaling() if self.preprocessing == "custom" else None,
        }
        problems: dict[str, str] = {}
        for name, reader in readers.items():
            try:
                reader()
            except ValueError as error:
                problems[name] = str(error)
        if problems:
            raise InvalidParameters(problems)

    def chosen_norm(self) -> str:
        """The norm that the attack is run in."""
        return norm_of(self.attack, self.norm)

    def values(self) -> tuple[float, ...]:
        """The perturbation sizes, sorted, each once, from 0."""
        found = {0.0, *(_number(part) for part in _parts(self.perturbation_values))}
        if any(value < 0 for value in found):
            raise ValueError("must not be negative")
        if self.norm in ("auto", LINF) and norm_of(self.attack, "auto") == LINF and max(found) > 1:
            raise ValueError("must lie between 0 and 1, because they are shares of the input range")
        if max(found) > 1e6 or len(found) > MAX_VALUES:
            raise ValueError(f"must be at most {MAX_VALUES} numbers of at most 1,000,000")
        return tuple(sorted(found))

    def rows(self) -> tuple[int, ...]:
        """The numbers of the samples that were asked for, each once; empty unless the mode is indexes."""
        if self.evaluation_mode != "indexes":
            return ()
        found: dict[int, None] = {}
        for part in _parts(self.indexes):
            first, _, last = part.partition("-")
            start, end = _whole(first), _whole(last or first)
            if end < start or end - start >= MAX_INDEXES:
                raise ValueError(f"must be rising and at most {MAX_INDEXES:,} long, which {part[:40]!r} is not")
            found |= dict.fromkeys(range(start, end + 1))
        if not 1 <= len(found) <= MAX_INDEXES:
            raise ValueError(f"must name 1 to {MAX_INDEXES:,} samples")
        return tuple(found)

    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation of the preprocessing; None without one."""
        if self.preprocessing == "none":
            return None
        if self.preprocessing == "imagenet":
            return IMAGENET
        mean, std = (tuple(map(_number, _parts(text))) for text in (self.mean, self.std))
        if len(mean) not in (1, 3) or len(std) not in (1, 3):
            raise ValueError("and std must each be one number or three")
        if any(value <= 0 for value in std):
            raise ValueError("needs an std above 0")
        return mean, std


def _parts(text: str) -> list[str]:
    if len(text) > 100_000:
        raise ValueError("is too long")
    return [part.strip() for part in text.replace(";", ",").split(",") if part.strip()]


def _number(text: str) -> float:
    numerator, _, denominator = text.partition("/")
    try:
        value = float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"must be numbers separated by commas, which {text[:40]!r} is not") from error
    if not math.isfinite(value):
        raise ValueError(f"must be finite, which {text[:40]!r} is not")
    return value


def _whole(text: str) -> int:
    if not text.strip().isdecimal() or len(text) > 9:
        raise ValueError(f"must be whole numbers from 0, which {text[:40]!r} is not")
    return int(text)
