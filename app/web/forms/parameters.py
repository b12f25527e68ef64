"""Forms made from the parameters that a track, the rules or an experiment declare."""

from collections.abc import Mapping, Sequence
from typing import Any

from wtforms import BooleanField, FloatField, Form, IntegerField, SelectField, StringField, TextAreaField
from wtforms.fields import Field
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, NumberRange, Optional
from wtforms.widgets import NumberInput

from app.errors import InvalidParameters
from app.parameters import Parameter


class ParameterForm(Form):
    """The fields of one frozen dataclass; it is shown and checked inside of a form that has the CSRF token."""

    def values(self) -> dict[str, Any]:
        """What was entered, by the names of the parameters."""
        return {name: field.data for name, field in self._fields.items()}

    def blame(self, error: InvalidParameters) -> None:
        """Put each problem that belongs to a field of this form under it."""
        mine = {name: problem for name, problem in error.problems.items() if name in self._fields}
        for name, problem in mine.items():
            self._fields[name].errors = [*self._fields[name].errors, f"{problem[:1].upper()}{problem[1:]}."]


def form(
    parameters: Sequence[Parameter], prefix: str, data: Any = None, values: Mapping[str, Any] | None = None
) -> ParameterForm:
    """A form with one typed field per parameter, filled from `data` (what was sent), `values` or the defaults."""
    fields = {parameter.name: _field(parameter) for parameter in parameters}
    made = type("GeneratedForm", (ParameterForm,), fields)
    filled = {parameter.name: parameter.default for parameter in parameters} | dict(values or {})
    instance: ParameterForm = made(formdata=data, prefix=prefix, data=filled)
    return instance


def _field(parameter: Parameter) -> Field:
    label = parameter.name if parameter.name.isupper() else parameter.name.replace("_", " ").capitalize()
    common: dict[str, Any] = {"label": label, "description": _help(parameter)}
    if parameter.type is bool:
        return BooleanField(**common)
    if parameter.choices:
        # Settings in capitals and their values are quoted by the rules as they stand.
        words = str if parameter.name.isupper() else str.capitalize
        return SelectField(choices=[SelectChoice(choice, words(choice)) for choice in parameter.choices], **common)
    if parameter.is_long:
        return TextAreaField(validators=[Optional()], render_kw={"rows": 6}, **common)
    if parameter.type is str:
        # Where nothing is the default, nothing may be entered.
        return StringField(validators=[InputRequired() if parameter.default else Optional()], **common)
    bounds = [InputRequired(), NumberRange(parameter.minimum, parameter.maximum)]
    if parameter.type is int:
        return IntegerField(validators=bounds, widget=NumberInput(step="1"), **common)
    return FloatField(validators=bounds, widget=NumberInput(step="any"), **common)


def _help(parameter: Parameter) -> str:
    low, high, unit = parameter.minimum, parameter.maximum, parameter.unit
    bounds = ""
    if low is not None and high is not None:
        bounds = f"From {low:,g} to {high:,g}" if max(abs(low), abs(high)) < 1e6 else f"From {low:,.0f} to {high:,.0f}"
    ending = f" {bounds}{f' {unit}' if unit else ''}." if bounds else (f" In {unit}." if unit else "")
    return parameter.help + ending
