"""The attacks and perturbation sizes that a person can choose; loads no torch."""

from dataclasses import dataclass

LINF, L2, L1 = "linf", "l2", "l1"
NORMS = {LINF: "L∞", L2: "L2", L1: "L1"}


@dataclass(frozen=True)
class Choice:
    """An attack as forms and interfaces offer it."""

    title: str
    norms: tuple[str, ...]
    """The first one is taken unless another is asked for."""
    settings: tuple[str, ...]
    """The parameters that it listens to."""
    knows_path: bool = True
    """Whether its loss and distance per iteration can be inspected."""


_PGD = ("steps", "rel_stepsize", "abs_stepsize", "random_start", "restarts")
_CW = ("steps", "binary_search_steps", "confidence", "initial_const", "abort_early", "stepsize")
ATTACKS: dict[str, Choice] = {
    "pgd-linf": Choice("PGD, L∞", (LINF,), _PGD),
    "pgd-l2": Choice("PGD, L2", (L2,), _PGD),
    "pgd-l1": Choice("PGD, L1", (L1,), _PGD),
    "cw": Choice("Carlini and Wagner, L2", (L2,), _CW),
    "noise-linf": Choice("Uniform noise, L∞", (LINF,), ("repeats",)),
    "noise-l2": Choice("Uniform noise, L2", (L2,), ("repeats",)),
    "minimum-norm": Choice("Minimum norm, the whole curve in one pass", (LINF, L2, L1), ("steps", "targets")),
    "fmn": Choice("Fast minimum-norm", (LINF, L2, L1), ("steps",)),
    "fab": Choice("Fast adaptive boundary, targeted", (LINF, L2, L1), ("steps", "targets", "restarts")),
    "apgd-ce": Choice("Auto-PGD, cross-entropy", (LINF, L2), ("steps", "restarts")),
    "apgd-t": Choice("Auto-PGD, targeted", (LINF, L2), ("steps", "targets")),
    "square": Choice("Square, black-box", (LINF, L2), ("queries",)),
    "standard": Choice("AutoAttack, the standard ensemble", (LINF, L2), ("steps", "targets", "queries"), False),
}

PRESETS: dict[str, tuple[tuple[str, float], ...]] = {
    LINF: tuple((f"{size}/255", size / 255) for size in (1, 2, 4, 8, 16)),
    L2: tuple((f"{size:g}", size) for size in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)),
    L1: tuple((f"{size:g}", size) for size in (0.5, 1.0, 2.0, 4.0, 8.0)),
}
"""Perturbation sizes by norm: label and value, as a share of the input range."""


def norm_of(attack: str, wanted: str) -> str:
    """The norm that an attack is run in; "auto" takes its first one. Raises ValueError for one that it lacks."""
    known = ATTACKS[attack].norms
    if wanted == "auto":
        return known[0]
    if wanted not in known:
        raise ValueError(f"must be {' or '.join(known)} for the attack {attack}")
    return wanted
