"""How the form of a security evaluation is laid out; loads no torch."""

from app.experiments.base import Group, Layout
from app.experiments.security_evaluation.choices import ATTACKS, NORMS, PRESETS


def _steps(norm: str) -> str:
    """The usual sizes of a norm as one text; fractions stay fractions."""
    return ", ".join(label for label, _ in PRESETS[norm])


LAYOUT = Layout(
    groups=(
        Group("The attack", ("attack", "norm", "perturbation_values")),
        Group("The samples", ("evaluation_mode", "indexes", "preprocessing", "mean", "std")),
        Group("The report", ("inspected", "checks")),
        Group("Effort of the attack", ("steps", "restarts", "targets", "repeats", "queries"), is_folded=True),
        Group("Settings of PGD", ("rel_stepsize", "abs_stepsize", "random_start"), is_folded=True),
        Group(
            "Settings of Carlini and Wagner",
            ("binary_search_steps", "confidence", "initial_const", "abort_early", "stepsize"),
            is_folded=True,
        ),
    ),
    titles={
        "attack": {name: attack.title for name, attack in ATTACKS.items()},
        "norm": {"auto": "The attack's own", **NORMS},
        "evaluation_mode": {"fast": "Fast", "complete": "Complete", "indexes": "Samples by their numbers"},
        "preprocessing": {"none": "None", "imagenet": "ImageNet", "custom": "Custom"},
    },
    presets={"perturbation_values": {f"{NORMS[norm]}: {_steps(norm)}": _steps(norm) for norm in PRESETS}},
)
