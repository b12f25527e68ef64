"""What PandaVision's clients ask for, as parameters of our experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from app.errors import InvalidParameters
from app.experiments.security_evaluation.choices import ATTACKS
from app.experiments.security_evaluation.parameters import Parameters
from app.parameters import describe, parse

DEFAULT_VALUES = (0, 0.01, 0.02, 0.03, 0.04, 0.05)
ATTACK_OF = {"max-norm": "pgd-linf", "random": "noise-linf"}
"""The attack of a request that names only the type of perturbation."""
MODES = ("fast", "complete")
KEYS = (
    *("attack", "attack-params", "perturbation-type", "perturbation-values", "evaluation-mode", "indexes"),
    *("task", "performance-metric", "preprocessing", "dataset", "trained-model"),
)
FIELDS = {"values": "perturbation-values", "perturbation_values": "perturbation-values", "mean": "preprocessing"}


@dataclass(frozen=True)
class Request:
    """What a body asks for."""

    parameters: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    """The name or key of an uploaded file; empty for the newest one."""
    dataset: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    """Key of the body -> what is wrong with it."""


def translate(body: Mapping[str, Any], channels: int = 3) -> Request:
    """The experiment's parameters for a body, with everything that is wrong with it at once.

    A body without `preprocessing` means ImageNet's, as ever, where the samples have as many channels; else none.
    """
    problems = {str(key): f"is not a key; there are {', '.join(KEYS)}" for key in body if key not in KEYS}
    problems |= _constants(body)
    found: dict[str, Any] = {"attack": _attack(body, problems), "perturbation_values": _values(body, problems)}
    found |= _mode(body, problems) | _preprocessing(body, channels, problems)
    found |= _attack_parameters(found["attack"], body.get("attack-params"), problems)
    names = {key: _name(key, body, problems) for key in ("trained-model", "dataset")}
    if not problems:
        problems |= _refused(found)
    return Request(found, names["trained-model"], names["dataset"], problems)


def _constants(body: Mapping[str, Any]) -> dict[str, str]:
    only = {"task": "classification", "performance-metric": "classification-accuracy"}
    return {key: f"must be {word}" for key, word in only.items() if body.get(key, word) != word}


def _attack(body: Mapping[str, Any], problems: dict[str, str]) -> str:
    kind, attack = body.get("perturbation-type"), body.get("attack")
    if kind is not None and kind not in ATTACK_OF:
        problems["perturbation-type"] = f"must be {' or '.join(ATTACK_OF)}"
        return "pgd-linf"
    if attack is None:
        return ATTACK_OF[kind or "max-norm"]
    if attack not in ATTACKS:
        problems["attack"] = f"must be one of {', '.join(ATTACKS)}"
        return "pgd-linf"
    if kind is not None and (kind == "random") != attack.startswith("noise"):
        problems["perturbation-type"] = f"does not fit the attack {attack}; leave one of the two out"
    return str(attack)


def _values(body: Mapping[str, Any], problems: dict[str, str]) -> str:
    values = body.get("perturbation-values", list(DEFAULT_VALUES))
    if not isinstance(values, list) or not all(map(_is_number, values)):
        problems["perturbation-values"] = "must be a list of numbers"
        return ""
    return ", ".join(map(repr, values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mode(body: Mapping[str, Any], problems: dict[str, str]) -> dict[str, Any]:
    mode, indexes = body.get("evaluation-mode", "complete"), body.get("indexes")
    if mode not in MODES:
        problems["evaluation-mode"] = f"must be {' or '.join(MODES)}"
    if not indexes:
        return {"evaluation_mode": mode if mode in MODES else "complete"}
    if not isinstance(indexes, list) or not all(isinstance(one, int) and one >= 0 for one in indexes):
        problems["indexes"] = "must be a list of whole numbers from 0"
        return {}
    return {"evaluation_mode": "indexes", "indexes": ", ".join(str(int(one)) for one in indexes)}


def _preprocessing(body: Mapping[str, Any], channels: int, problems: dict[str, str]) -> dict[str, Any]:
    chosen = body.get("preprocessing")
    if chosen is None:
        return {"preprocessing": "imagenet" if channels == 3 else "none"}
    if not isinstance(chosen, Mapping) or set(chosen) - {"mean", "std"}:
        problems["preprocessing"] = "must be an object with mean and std, empty for none"
        return {}
    if len(chosen) < 2:
        # One of the two alone meant none to PandaVision, which nobody can have wanted.
        if chosen:
            problems["preprocessing"] = "needs both mean and std"
        return {"preprocessing": "none"}
    lists = {name: values if isinstance(values, list) else [values] for name, values in chosen.items()}
    if not all(_is_number(value) for values in lists.values() for value in values):
        problems["preprocessing"] = "must have numbers or lists of numbers as mean and std"
        return {}
    return {"preprocessing": "custom"} | {name: ", ".join(map(repr, values)) for name, values in lists.items()}


def _attack_parameters(attack: str, sent: Any, problems: dict[str, str]) -> dict[str, Any]:
    if sent is None:
        return {}
    if not isinstance(sent, Mapping):
        problems["attack-params"] = "must be an object"
        return {}
    known = {parameter.name: parameter for parameter in describe(Parameters)}
    found = {}
    for name, value in sent.items():
        if name not in (*ATTACKS[attack].settings, *(("norm",) if len(ATTACKS[attack].norms) > 1 else ())):
            problems[f"attack-params.{name}"] = f"is not a parameter of {attack}"
        elif value is not None and known[name].type in (int, float) and not _is_number(value):
            problems[f"attack-params.{name}"] = "must be a number"
        elif value is not None:
            found[name] = value
    return found


def _name(key: str, body: Mapping[str, Any], problems: dict[str, str]) -> str:
    """The last part of a path; nothing for a place-holder in angle brackets, as PandaVision's README has it."""
    value = body.get(key)
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        problems[key] = "must be the name of an uploaded file"
        return ""
    return "" if value.startswith("<") and ">" in value else PurePosixPath(value.replace("\\", "/")).name


def _refused(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What the experiment itself says against the parameters, by the keys of the body."""
    try:
        parse(Parameters, parameters)
    except InvalidParameters as error:
        settings = {name for choice in ATTACKS.values() for name in (*choice.settings, "norm")}
        return {
            f"attack-params.{name}" if name in settings else FIELDS.get(name, name.replace("_", "-")): problem
            for name, problem in error.problems.items()
        }
    return {}
