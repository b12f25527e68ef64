"""Fields of schemas: typed, described, and without values that no database can hold."""

from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

LARGEST = 1 << 53
"""Up to here every JSON reader keeps whole numbers exactly."""
TIMES = validate.Range(min=datetime(2000, 1, 1, tzinfo=UTC), max=datetime(2100, 1, 1, tzinfo=UTC))


def _storable(text: str) -> None:
    if any(letter < " " and letter not in "\n\t" for letter in text) or not _encodable(text):
        raise ma.ValidationError("Control characters are not allowed.")


def _encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _metadata(description: str, example: Any) -> dict[str, Any]:
    return {"description": description} | ({} if example is None else {"examples": [example]})


def text(
    description: str, example: Any = None, *, maximum: int = 0, choices: Any = (), **options: Any
) -> fields.String:
    """A text."""
    checks: list[Any] = [_storable]
    if maximum:
        checks.append(validate.Length(max=maximum))
    if choices:
        checks.append(validate.OneOf([str(choice) for choice in choices]))
    return fields.String(validate=checks, metadata=_metadata(description, example), **options)


def whole(
    description: str, example: Any = None, *, low: int | None = None, high: int | None = None, **options: Any
) -> fields.Integer:
    """A whole number."""
    bounds = validate.Range(min=-LARGEST if low is None else low, max=LARGEST if high is None else high)
    # What stands in an address is a text, so there `strict` has to be switched off.
    return fields.Integer(validate=bounds, metadata=_metadata(description, example), **{"strict": True, **options})


def number(description: str, example: Any = None, **options: Any) -> fields.Float:
    """A number."""
    return fields.Float(metadata=_metadata(description, example), **options)


def flag(description: str, example: Any = None, **options: Any) -> fields.Boolean:
    """Yes or no."""
    return fields.Boolean(truthy={True}, falsy={False}, metadata=_metadata(description, example), **options)


def moment(description: str, **options: Any) -> fields.AwareDateTime:
    """A moment; without a time zone it is in UTC."""
    metadata = _metadata(description, "2026-11-21T12:00:00+00:00")
    return fields.AwareDateTime(format="iso", default_timezone=UTC, metadata=metadata, **options)


def nested(schema: Any, description: str = "", *, many: bool = False, **options: Any) -> fields.Nested:
    """An object, or a list of them."""
    return fields.Nested(schema, many=many, metadata={"description": description} if description else {}, **options)


def mapping(description: str, example: Any = None, values: Any = None, **options: Any) -> fields.Dict:
    """Values by name."""
    return fields.Dict(keys=fields.String(), values=values, metadata=_metadata(description, example), **options)


def texts(description: str, example: Any = None, choices: Any = (), **options: Any) -> fields.List:
    """A list of texts."""
    checks = [validate.OneOf([str(choice) for choice in choices])] if choices else [_storable]
    return fields.List(fields.String(validate=checks), metadata=_metadata(description, example), **options)


def anything(description: str, **options: Any) -> fields.Raw:
    """A value of any type."""
    return fields.Raw(metadata={"description": description}, **options)


def listing(inner: Any, description: str) -> fields.List:
    """A list of values of one kind."""
    return fields.List(inner, metadata={"description": description})


def address(description: str, example: str, **options: Any) -> fields.Email:
    """An e-mail address."""
    return fields.Email(validate=validate.Length(max=254), metadata=_metadata(description, example), **options)
