"""Settings that frozen dataclasses declare, as JSON Schema, and checked before a service sees them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import InvalidParameters
from app.parameters import Parameter

TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def schema(parameters: Sequence[Parameter], title: str) -> dict[str, Any]:
    """The JSON Schema of an object with these parameters, all of them optional."""
    properties = {parameter.name: _property(parameter) for parameter in parameters}
    return {"type": "object", "title": title, "properties": properties, "additionalProperties": False}


def _property(parameter: Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {"type": TYPES[parameter.type], "description": parameter.help, "default": parameter.default}
    if parameter.minimum is not None:
        found["minimum"] = parameter.minimum
    if parameter.maximum is not None:
        found["maximum"] = parameter.maximum
    if parameter.choices:
        found["enum"] = list(parameter.choices)
    return found | ({"x-unit": parameter.unit} if parameter.unit else {})


def row(parameter: Parameter) -> dict[str, Any]:
    """One parameter as an entry of a list."""
    names = ("name", "default", "help", "minimum", "maximum", "choices", "unit")
    return {name: getattr(parameter, name) for name in names} | {"type": TYPES[parameter.type]}


def check(groups: Mapping[str, tuple[Sequence[Parameter], Mapping[str, Any]]]) -> None:
    """Check every group of values at once. Raises InvalidParameters with problems named "group.parameter"."""
    problems: dict[str, str] = {}
    for group, (parameters, values) in groups.items():
        known = {parameter.name: parameter for parameter in parameters}
        for name, value in values.items():
            problem = _problem(known[name], value) if name in known else "is not a setting"
            problems |= {f"{group}.{name}": problem} if problem else {}
    if problems:
        raise InvalidParameters(problems)


def _problem(parameter: Parameter, value: Any) -> str:
    """Why a JSON value is not one of this parameter's; JSON has types, so nothing is converted."""
    wanted = (int, float) if parameter.type is float else parameter.type
    if not isinstance(value, wanted) or (isinstance(value, bool) and parameter.type is not bool):
        return f"must be of type {TYPES[parameter.type]}"
    if parameter.type in {int, float} and not math.isfinite(_float(value)):
        return "must be finite"
    try:
        parameter.read(value)
    except ValueError as error:
        return str(error)
    return ""


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
