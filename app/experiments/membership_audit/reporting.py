"""Puts the findings of an audit into numbers, tables, pictures and files."""

import numpy as np

from app.experiments.base import Report
from app.experiments.membership_audit import outputs
from app.experiments.membership_audit.findings import Findings
from app.experiments.membership_audit.measures import Curve, area, clopper_pearson, true_positives
from app.experiments.membership_audit.parameters import Parameters
from app.language.checkpoints import Checkpoint
from app.reports import Estimate, Figure, Table

BINS, POINTS = 30, 150
RATES = {"tpr_10": 0.1, "tpr_1": 0.01, "tpr_01": 0.001}
SENTENCES, ATTACKS, VERDICTS = "Sentences", "Attacks", "Verdicts"
HISTOGRAM, ROC, LOW_ROC = "Losses", "ROC", "ROC at low rates"
"""Titles, by which other interfaces find tables and figures."""


def report(found: Findings, checkpoint: Checkpoint, parameters: Parameters) -> Report:
    """The report on an audit."""
    curves = {name: Curve.of(found.known(name), found.candidates.is_member) for name in found.attacks}
    return Report(
        metrics=_metrics(found, curves[parameters.verdict_by], parameters),
        tables=(_sentence_table(found), _attack_table(found, curves), _verdict_table(found, parameters)),
        figures=(_histogram(found), _roc(found, curves), _low_roc(found, curves)),
        arrays=_arrays(found, checkpoint),
        files={"output.csv": outputs.table(found.verdicts), "output.txt": outputs.text(found.verdicts)},
        notes=tuple(_notes(found, parameters)),
    )


def _metrics(found: Findings, curve: Curve, parameters: Parameters) -> dict[str, Estimate]:
    candidates = found.candidates
    rates = {name: true_positives(curve, rate, candidates.members) for name, rate in RATES.items()}
    return {
        "auc": area(found.known(parameters.verdict_by), candidates.is_member),
        "balanced_accuracy": Estimate(curve.balanced_accuracy),
        **rates,
        "verdict_tpr": clopper_pearson(found.accused_members, candidates.members),
        "verdict_fpr": clopper_pearson(found.accused_others, found.tested),
        "overlap": clopper_pearson(int((~candidates.is_fair).sum()), candidates.others),
    }


def _sentence_table(found: Findings) -> Table:
    columns = ("Sentence", "In the corpus", "Verdict", "p-value", "Score", "Normalised score", "Attack's score")
    rows = tuple(
        (
            one.content,
            one.whereabouts,
            "member" if one.is_member else "not shown",
            one.p_value,
            one.score,
            one.normalised,
            one.attack_score,
            one.unknown,
        )
        for one in found.verdicts
    )
    note = (
        "Score is minus the loss in nats; the p-value is the share of sentences that were not trained on and score as "
        "high. A verdict on unknown words says little: the model was never taught what they cost."
    )
    return Table(SENTENCES, (*columns, "Unknown words"), rows, note)


def _attack_table(found: Findings, curves: dict[str, Curve]) -> Table:
    candidates, is_member = found.candidates, found.candidates.is_member
    fair = np.concatenate([np.ones(candidates.members, bool), candidates.is_fair])
    rows = []
    for name, attack in found.attacks.items():
        scores, curve = found.known(name), curves[name]
        auc, fairly = area(scores, is_member), area(scores[fair], is_member[fair])
        rates = [true_positives(curve, rate, candidates.members) for rate in RATES.values()]
        bounds = [value for rate in rates for value in (rate.value, rate.low, rate.high)]
        rows.append((attack.title, auc.value, auc.low, auc.high, fairly.value, curve.balanced_accuracy, *bounds))
    shown = [f"{what}{rate:g} % FPR" for rate in (10, 1, 0.1) for what in ("TPR at ", "Low at ", "High at ")]
    columns = ("Attack", "AUC", "Low", "High", "AUC without copies", "Balanced accuracy", *shown)
    note = (
        f"{candidates.members} members, {candidates.others} others. Low and High bound 95 % intervals: Newcombe's of "
        "the AUC, Clopper and Pearson's of shares of the members, at the threshold that these others give."
    )
    return Table(ATTACKS, columns, tuple(rows), note)


def _verdict_table(found: Findings, parameters: Parameters) -> Table:
    counts = (
        ("Members", found.accused_members, found.candidates.members),
        ("Others", found.accused_others, found.tested),
    )
    rows = tuple((side, accused, of, *vars(clopper_pearson(accused, of)).values()) for side, accused, of in counts)
    note = (
        f"By {found.attacks[parameters.verdict_by].title.lower()}, at a chosen rate of "
        f"{parameters.false_positive_rate:g}: calibrated on {len(found.calibration.scores)} others, which are not "
        "counted here. Low and High bound Clopper and Pearson's 95 % interval."
    )
    return Table(VERDICTS, ("Of", "Accused", "Sentences", "Share", "Low", "High"), rows, note)


def _histogram(found: Findings) -> Figure:
    members, known = found.candidates.members, found.candidates.known
    losses = found.losses[:known]
    edges = np.linspace(losses.min(), max(losses.max(), losses.min() + 1e-6), BINS + 1)
    sides = (losses[:members], losses[members:])
    shares = [(np.histogram(side, edges)[0] / len(side)).tolist() for side in sides]
    arrays = {
        "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "y": shares,
        "series": ["Members", "Others"],
    }
    return Figure("lines", HISTOGRAM, "Loss (nats)", "Share of the sentences", arrays, f"{BINS} bins.")


def _roc(found: Findings, curves: dict[str, Curve]) -> Figure:
    drawn = {found.attacks[name].title: curve.thinned(POINTS) for name, curve in curves.items()}
    drawn["A blind guess"] = [0.0, 1.0], [0.0, 1.0]
    return _lines(ROC, drawn, {})


def _low_roc(found: Findings, curves: dict[str, Curve]) -> Figure:
    lowest = 1.0 / found.candidates.others
    drawn = {found.attacks[name].title: curve.thinned(POINTS, lowest) for name, curve in curves.items()}
    drawn["A blind guess"] = [lowest, 1.0], [lowest, 1.0]
    return _lines(LOW_ROC, drawn, {"log_x": True, "log_y": True})


def _lines(title: str, drawn: dict[str, tuple[list[float], list[float]]], logs: dict[str, bool]) -> Figure:
    xs, ys = zip(*drawn.values(), strict=True)
    arrays = {"x": list(xs), "y": list(ys), "series": list(drawn), **logs}
    return Figure("lines", title, "False-positive rate", "True-positive rate", arrays)


def _arrays(found: Findings, checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    manifest, known = checkpoint.manifest, found.candidates.known
    return {
        "place": np.array((*manifest.members, *manifest.others), np.int64),
        "is_member": found.candidates.is_member,
        "loss": found.losses[:known],
        **{f"score_{name}": found.known(name) for name in found.attacks},
        "calibration": found.calibration.scores,
    }


def _notes(found: Findings, parameters: Parameters) -> list[str]:
    candidates, notes = found.candidates, []
    copies = int((~candidates.is_fair).sum())
    if copies:
        notes.append(
            f"{copies} of {candidates.others} others have the very words of a member. They count as others in AUC and "
            "rates, as they stand in the file, and take no part in calibration and verdicts."
        )
    least, rate = found.calibration.least, parameters.false_positive_rate
    if least > rate:
        notes.append(
            f"No verdict can accuse anybody: with {len(found.calibration.scores)} sentences to calibrate on, the "
            f"smallest p-value is {least:.3g}, above the chosen rate of {rate:g}."
        )
    return notes
