"""Scales: from a number to its place, with ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def present(values: Iterable[float | None]) -> list[float]:
    """The values that are there and finite."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def number(value: float | None, digits: int = 4) -> str:
    """A number for readers, with so many significant digits; "–" where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        power = math.floor(math.log10(abs(value)))
        mantissa = value / 10.0**power
        head = "" if math.isclose(mantissa, 1) else f"{mantissa:.3g}·"
        return f"{head}10{str(power).translate(_SUPERSCRIPT)}"
    text = f"{value:,.{max(digits - 1 - math.floor(math.log10(abs(value))), 0)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−")


def _step(span: float, count: int) -> float:
    """The round step (1, 2 or 5 times a power of ten) that cuts `span` into about `count` parts."""
    rough = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999) * power)


@dataclass(frozen=True)
class Scale:
    """A mapping from [low, high] to the places [start, end]."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high, here = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def shows(self, value: float | None) -> bool:
        """Whether the value has a place."""
        return value is not None and math.isfinite(value) and (value > 0 or not self.log)


def linear(values: Iterable[float | None], start: float, end: float, count: int = 5, zero: bool = False) -> Scale:
    """A scale over the values that begins and ends at a tick; `zero` includes nought."""
    known = present(values) + ([0.0] if zero else [])
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low < 1e-12 * max(abs(high), abs(low), 1e-300):
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    step = _step(high - low, count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Ticks are rounded to the step's own digits, or 0.1 + 0.2 would be written out in full.
    digits = max(0, 1 - math.floor(math.log10(step)))
    ticks = tuple(round(index * step, digits) for index in range(first, last + 1))
    return Scale(first * step, last * step, start, end, ticks)


def logarithmic(values: Iterable[float | None], start: float, end: float, count: int = 5) -> Scale:
    """A logarithmic scale over the positive values, from one power of ten to another."""
    known = [value for value in present(values) if value > 0] or [1.0]
    first, last = math.floor(math.log10(min(known)) + 1e-9), math.ceil(math.log10(max(known)) - 1e-9)
    last = max(last, first + 1)
    stride = max(1, math.ceil((last - first) / count))
    ticks = [10.0**power for power in range(first, last + 1, stride)]
    if last - first == 1:
        ticks = [factor * 10.0**first for factor in (1, 2, 5, 10)]
    return Scale(10.0**first, 10.0**last, start, end, tuple(ticks), log=True)


def unit(start: float, end: float, count: int = 5) -> Scale:
    """The scale of a value in [0, 1]."""
    return linear((0.0, 1.0), start, end, count)
