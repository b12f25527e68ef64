"""Puts the outcomes of all seeds into one table, one picture, and plain words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from app.experiments.base import Report
from app.experiments.federated_protection.choices import PROTECTIONS
from app.experiments.federated_protection.measuring import Measured
from app.experiments.federated_protection.parameters import Parameters
from app.experiments.federated_protection.told import RATES, Told
from app.experiments.federated_protection.white_box import CLIENTS, GLOBAL
from app.parameters import as_json
from app.record_sets import RecordSet
from app.reports import Estimate, Figure, Table
from app.roc import Share

RESULT, PARAMETERS = "Before and after", "Parameters"
"""Titles of the tables, by which other interfaces find them."""
COLUMNS = (
    "What",
    "Of",
    *("Before", "Before, low", "Before, high"),
    *("After", "After, low", "After, high"),
    *("Change", "Change, low", "Change, high"),
)
NEW = "Accuracy on new records"
WHOSE = {GLOBAL: "global model", CLIENTS: "clients' models"}


@dataclass(frozen=True)
class Pair:
    """One seed: the same federation without and with the protection."""

    before: Measured
    after: Measured
    note: str


@dataclass(frozen=True)
class Line:
    """One quantity over all seeds."""

    what: str
    whose: str
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    is_area: bool = True
    """Whether it is the AUC of an attack, which verdicts are about."""
    exact: tuple[Share, Share] | None = None
    """Of a single seed: the shares before and after with their own intervals."""

    @property
    def change(self) -> Estimate:
        """After minus before, seed by seed."""
        return interval(self.after - self.before)

    def row(self) -> tuple[str | float | None, ...]:
        """The row of the table."""
        sides = (interval(self.before), interval(self.after))
        if self.exact:
            sides = (Estimate(*self.exact[0]), Estimate(*self.exact[1]))
        three = (*sides, self.change)
        return (self.what, self.whose, *(number for each in three for number in (each.value, each.low, each.high)))


def report(pairs: Sequence[Pair], titles: dict[str, str], records: RecordSet, parameters: Parameters) -> Report:
    """The report on all seeds; `titles` name the attacks."""
    lines = _lines(pairs, titles)
    accuracy, attacks = lines[0], [line for line in lines if line.is_area and line.whose == WHOSE[GLOBAL]]
    return Report(
        metrics={
            "accuracy_before": interval(accuracy.before),
            "accuracy_after": interval(accuracy.after),
            "auc_before": _strongest([line.before for line in attacks]),
            "auc_after": _strongest([line.after for line in attacks]),
        },
        tables=(
            Table(RESULT, COLUMNS, tuple(line.row() for line in lines), _reading(len(pairs))),
            Table(PARAMETERS, ("Name", "Value"), tuple((k, str(v)) for k, v in as_json(parameters).items())),
        ),
        figures=(_plane(lines, parameters), _bars(lines)),
        arrays=_arrays(lines),
        notes=_notes(pairs, lines, records, parameters),
    )


def interval(values: NDArray[np.float64]) -> Estimate:
    """The mean over seeds with Student's 95 % interval; no interval for a single seed."""
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean)
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)


def _strongest(aucs: list[NDArray[np.float64]]) -> Estimate:
    """The interval of the attack with the largest mean."""
    return interval(max(aucs, key=lambda each: float(each.mean())))


def _lines(pairs: Sequence[Pair], titles: dict[str, str]) -> list[Line]:
    def over(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        before, after = ([getattr(getattr(pair, side), name) for pair in pairs] for side in ("before", "after"))
        return np.array(before), np.array(after)

    lines = [
        Line(NEW, WHOSE[GLOBAL], *over("accuracy"), is_area=False),
        Line("Accuracy on members", WHOSE[GLOBAL], *over("member_accuracy"), is_area=False),
        Line(NEW, WHOSE[CLIENTS], *over("client_accuracy"), is_area=False),
    ]
    for name, whose in pairs[0].before.attacks:
        told = [(pair.before.attacks[name, whose], pair.after.attacks[name, whose]) for pair in pairs]
        lines += _attack(titles[name], WHOSE[whose], told)
    return lines


def _attack(title: str, whose: str, told: Sequence[tuple[Told, Told]]) -> list[Line]:
    """One attack on one kind of model: its area, and below the members that it finds at few false alarms."""
    areas = np.array([[side.auc for side in pair] for pair in told])
    lines = [Line(f"{title}, AUC", whose, areas[:, 0], areas[:, 1])]
    for place, rate in enumerate(RATES):
        found = [(before.tpr[place], after.tpr[place]) for before, after in told if before.tpr]
        if found:
            values = np.array([[share.value for share in pair] for pair in found])
            exact = found[0] if len(found) == 1 else None
            what = f"{title}, TPR at {100 * rate:g} % FPR"
            lines.append(Line(what, whose, values[:, 0], values[:, 1], is_area=False, exact=exact))
    return lines


def _reading(seeds: int) -> str:
    chance = "An AUC of 0.5 is chance, and so is a true-positive rate (TPR) as large as the false-positive rate (FPR)."
    if seeds < 2:
        return f"{chance} One seed: the rates have Clopper-Pearson intervals, the rest has none."
    return f"{chance} Means over {seeds} seeds with Student's 95 % interval. Changes are by seed."


def _plane(lines: Sequence[Line], parameters: Parameters) -> Figure:
    """Utility against the strongest attack, without and with the protection."""
    series, x, y = [], [], []
    for whose in WHOSE.values():
        accuracy = next(line for line in lines if (line.what, line.whose) == (NEW, whose))
        attacks = [line for line in lines if line.is_area and line.whose == whose]
        for side, protection in (("before", "none"), ("after", parameters.protection)):
            series.append(f"{whose.capitalize()}: {PROTECTIONS[protection]}")
            x.append([_strongest([getattr(line, side) for line in attacks]).value])
            y.append([float(getattr(accuracy, side).mean())])
    return Figure(
        "lines",
        "Utility and privacy",
        "AUC of the strongest attack",
        "Accuracy on new records",
        {"x": x, "y": y, "series": series},
        "A good protection moves its point to the left, towards 0.5, which is chance, and not down.",
    )


def _bars(lines: Sequence[Line]) -> Figure:
    """Every attack before and after."""
    # Labels begin with what differs between neighbours, because long ones are cut off.
    bars = [
        (f"{when}, {line.whose.split()[0]}: {line.what.removesuffix(', AUC')}", interval(values))
        for line in lines
        if line.is_area
        for when, values in (("Before", line.before), ("After", line.after))
    ]
    return Figure(
        "bars",
        "Every attack",
        "",
        "AUC",
        {
            "labels": [label for label, _ in bars],
            "values": [each.value for _, each in bars],
            "low": [each.value if each.low is None else each.low for _, each in bars],
            "high": [each.value if each.high is None else each.high for _, each in bars],
        },
        "0.5 is chance.",
    )


def _arrays(lines: Sequence[Line]) -> dict[str, np.ndarray]:
    return {
        "lines": np.array([f"{line.what} | {line.whose}" for line in lines]),
        "before": np.stack([line.before for line in lines]),
        "after": np.stack([line.after for line in lines]),
    }


def _notes(pairs: Sequence[Pair], lines: Sequence[Line], records: RecordSet, parameters: Parameters) -> tuple[str, ...]:
    title, accuracy = PROTECTIONS[parameters.protection], lines[0]
    found = [pair.note for pair in pairs[:1] if pair.note]
    majority = float(np.bincount(records.y).max() / len(records))
    if accuracy.before.mean() <= majority + 0.01:
        found.append(
            f"The unprotected model is hardly better than naming the most frequent class ({majority:.1%}): "
            "it has learnt little, so there is little to attack or to protect."
        )
    for whose in WHOSE.values():
        attacks = [line for line in lines if line.is_area and line.whose == whose]
        found += _verdict(title, whose, attacks, parameters.protection)
    change = accuracy.change
    found.append(
        f"{title} changed the accuracy on new records by {100 * change.value:+.1f} points{_within(change, 100)}."
    )
    return tuple(found)


def _verdict(title: str, whose: str, attacks: Sequence[Line], protection: str) -> list[str]:
    """What the protection did to the attacks on one kind of model."""
    if protection == "none":
        return []
    raised = [line for line in attacks if _is_away(line) > 0]
    lowered = [line for line in attacks if _is_away(line) < 0]
    found = []
    if raised:
        found.append(f"{title} made attacks on the {whose} STRONGER: {_listed(raised)}.")
    if lowered:
        found.append(f"{title} made attacks on the {whose} weaker: {_listed(lowered)}.")
    if not raised and not lowered:
        found.append(f"{title} did not measurably change any attack on the {whose}.")
    return found


def _is_away(line: Line) -> int:
    """The sign of the change where its interval, or without one half a point, leaves no doubt; else 0."""
    change = line.change
    if change.low is None or change.high is None:
        return int(np.sign(change.value)) if abs(change.value) > 0.005 else 0
    return int(np.sign(change.value)) if change.low * change.high > 0 else 0


def _listed(lines: Sequence[Line]) -> str:
    return "; ".join(
        f"{line.what} {line.before.mean():.3f} to {line.after.mean():.3f}{_within(line.change, 1)}" for line in lines
    )


def _within(change: Estimate, scale: int) -> str:
    if change.low is None or change.high is None:
        return ""
    digits = 1 if scale == 100 else 3
    return f" (change {scale * change.low:+.{digits}f} to {scale * change.high:+.{digits}f})"
