"""The frame of a chart with two axes."""

from app.web.charts.marks import FONT, Line, Mark, Text, text_width
from app.web.charts.scales import Scale, number


def left_margin(ticks: tuple[float, ...]) -> float:
    """Room for the labels of a vertical axis and its title."""
    return max((text_width(number(tick)) for tick in ticks), default=0) + FONT + 22


def frame(x: Scale, y: Scale, x_title: str, y_title: str, x_labels: dict[float, str] | None = None) -> list[Mark]:
    """Grid lines, tick labels and the titles of both axes; `x_labels` name ticks that are not numbers."""
    bottom = max(y.start, y.end)
    marks: list[Mark] = []
    for tick in y.ticks:
        marks.append(Line(x.start, y(tick), x.end, y(tick), "axis" if y(tick) == bottom else "gridline"))
        marks.append(Text(x.start - 8, y(tick) + 0.35 * FONT, number(tick), "tick", "end"))
    names = {tick: number(tick) for tick in x.ticks} if x_labels is None else x_labels
    for tick, name in names.items():
        marks.append(Line(x(tick), bottom, x(tick), bottom + 5, "axis"))
        marks.append(Text(x(tick), bottom + FONT + 8, name, "tick", "middle"))
    if x_title:
        marks.append(Text((x.start + x.end) / 2, bottom + 2 * FONT + 18, x_title, "axis-title", "middle"))
    marks.append(Text(FONT, (y.start + y.end) / 2, y_title, "axis-title", "middle", turned=True))
    return marks
