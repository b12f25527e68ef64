"""Frozen dataclasses whose fields are a form, an API schema and a documentation at once.

Round settings, adversaries and experiments declare their fields with `parameter(...)`;
`describe` lists them, `parse` makes an instance from untrusted text or JSON.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from app.errors import InvalidParameters

T = TypeVar("T")


def parameter(
    default: Any,
    help: str,  # noqa: A002 (the word that every form library uses)
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    unit: str = "",
    is_long: bool = False,
) -> Any:
    """A dataclass field with what a form, a schema and a reader need to know about it."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "choices": choices, "unit": unit}
    metadata["is_long"] = is_long
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Parameter:
    """The description of one field."""

    name: str
    type: type
    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    unit: str
    is_long: bool = False
    """Whether it is a text of several lines."""

    @property
    def bounds(self) -> str:
        """The bounds in words, such as "be at least 0"; empty if there are none."""
        if self.minimum is not None and self.maximum is not None:
            return f"lie between {self.minimum:g} and {self.maximum:g}"
        if self.minimum is not None:
            return f"be at least {self.minimum:g}"
        return f"be at most {self.maximum:g}" if self.maximum is not None else ""

    def read(self, value: Any) -> Any:
        """The value in this field's type; ValueError says in words why it is not one."""
        if self.type is bool:
            return value if isinstance(value, bool) else str(value).strip().lower() in {"1", "true", "yes", "on", "y"}
        if self.type is str:
            text = str(value).strip()
            if self.choices and text not in self.choices:
                raise ValueError(f"must be one of {', '.join(self.choices)}")
            return text
        return self._read_number(value)

    def _read_number(self, value: Any) -> int | float:
        try:
            number: int | float = self.type(value)
            is_finite = math.isfinite(number)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"must be {'a whole number' if self.type is int else 'a number'}") from error
        if not is_finite:
            raise ValueError("must be finite")
        if (self.minimum is not None and number < self.minimum) or (self.maximum is not None and number > self.maximum):
            raise ValueError(f"must {self.bounds}")
        return number


def describe(cls: type) -> tuple[Parameter, ...]:
    """The parameters of a dataclass in the order of their declaration."""
    hints = get_type_hints(cls)
    return tuple(
        Parameter(field.name, hints[field.name], field.default, **field.metadata)
        for field in dataclasses.fields(cls)
        if field.metadata
    )


def parse(cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of `cls`; missing names take their default, unknown or wrong ones are all reported at once.

    Raises InvalidParameters with one problem per field.
    """
    known = {parameter.name: parameter for parameter in describe(cls)}
    problems = {name: "is not a setting" for name in values if name not in known}
    read: dict[str, Any] = {}
    for name in known.keys() & values.keys():
        try:
            read[name] = known[name].read(values[name])
        except ValueError as error:
            problems[name] = str(error)
    if problems:
        raise InvalidParameters(problems)
    return cls(**read)


def as_json(instance: Any) -> dict[str, Any]:
    """The parameters of an instance as plain JSON; `parse` reads it back."""
    return {parameter.name: getattr(instance, parameter.name) for parameter in describe(type(instance))}
