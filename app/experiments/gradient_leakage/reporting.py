"""Puts the outcomes of a run into numbers, tables and pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import metrics, reconstruction_metrics
from app.experiments.base import Report
from app.experiments.gradient_leakage.material import Material
from app.experiments.gradient_leakage.parameters import Parameters
from app.experiments.gradient_leakage.study import Outcome
from app.parameters import as_json
from app.reports import Estimate, Figure, Table

SHOWN, COLUMNS, IMAGE_AXES, COLOURS = 12, 40, 3, 3
REPLICATES = 1000
RECOGNISABLE = 20.0
FIRST = "The other numbers and pictures of this report are those of the first point."
AXES = {"local_epochs": "Local passes", "records": "Records of a batch", "strength": "Strength of the defence"}


def report(outcomes: Sequence[Outcome], parameters: Parameters, material: Material) -> Report:
    """The report on one or, in the federated mode, several outcomes at one point."""
    quality = np.concatenate([reconstruction_metrics.psnr(one.errors).ravel() for one in outcomes])
    return Report(
        metrics=measured(outcomes, material),
        tables=(*_federation(outcomes), _records(outcomes), _settings(parameters)),
        figures=(beside(outcomes, quality), survival(outcomes, quality), *_traces(outcomes)),
        arrays=_arrays(outcomes),
    )


def measured(outcomes: Sequence[Outcome], material: Material) -> dict[str, Estimate]:
    """The metrics over all records, with bootstrap intervals over records."""
    errors, blind = (np.concatenate([part.ravel() for part in parts]) for parts in (
        [one.errors for one in outcomes], [one.blind for one in outcomes]))  # fmt: skip
    quality = reconstruction_metrics.psnr(errors)
    indices = metrics.resamples(len(errors), REPLICATES, np.random.default_rng(len(errors)))
    similar = np.concatenate([reconstruction_metrics.ssim(one.found, one.true).ravel() for one in outcomes])
    hits = np.concatenate([_identified(one, material).ravel() for one in outcomes])
    labels = np.concatenate([one.label_accuracy for one in outcomes])
    weights = metrics.multiplicities(indices)
    leaks = np.clip(1.0 - (weights @ errors) / np.maximum(weights @ blind, 1e-12), 0.0, 1.0)
    leakage = float(np.clip(1.0 - errors.sum() / max(blind.sum(), 1e-12), 0.0, 1.0))
    return {
        "psnr_median": Estimate(
            float(np.median(quality)), *metrics.percentile_interval(np.median(quality[indices], axis=1))
        ),
        "psnr_mean": _mean(quality, indices),
        "psnr_min": Estimate(float(quality.min())),
        "ssim": _mean(similar, indices),
        "above_20": _share(quality > RECOGNISABLE),
        "identified": _share(hits),
        "label_accuracy": Estimate(float(labels.mean())),
        "leakage": Estimate(leakage, *metrics.percentile_interval(leaks)),
        "blind_psnr": Estimate(float(np.median(reconstruction_metrics.psnr(blind)))),
    }


def _identified(one: Outcome, material: Material) -> NDArray[np.bool_]:
    return reconstruction_metrics.identified(one.found, one.true, one.labels, material.public_x, material.public_y)


def _mean(values: NDArray, indices: NDArray[np.int64]) -> Estimate:
    return Estimate(float(values.mean()), *reconstruction_metrics.interval(values, indices))


def _share(hits: NDArray[np.bool_]) -> Estimate:
    return Estimate(float(hits.mean()), *metrics.wilson(float(hits.sum()), len(hits)))


def beside(outcomes: Sequence[Outcome], quality: NDArray) -> Figure:
    """Originals and reconstructions side by side, from the best to the worst."""
    true = np.concatenate([one.true.reshape(-1, *one.true.shape[2:]) for one in outcomes])
    found = np.concatenate([one.found.reshape(-1, *one.found.shape[2:]) for one in outcomes])
    labels = np.concatenate([one.labels.ravel() for one in outcomes])
    order = np.argsort(-quality, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)]
    shown = [picture for place in chosen for picture in (true[place], found[place])]
    captions = [
        text for place in chosen for text in (f"private, class {labels[place]}", f"rebuilt, {quality[place]:.1f} dB")
    ]
    title = "Private records and reconstructions"
    note = "Each record with its class, and next to it what the attack made of it; the best first."
    if true.ndim == IMAGE_AXES + 1:
        images = [_pixels(picture) for picture in shown]
        return Figure("images", title, "", "", {"images": images, "captions": captions}, note)
    rows = [record.ravel()[:COLUMNS].round(4).tolist() for record in shown]
    names = [f"{number}: {caption}" for number, caption in enumerate(captions, 1)]
    columns = [str(number + 1) for number in range(len(rows[0]))]
    return Figure("heatmap", title, "Column", "", {"values": rows, "rows": names, "columns": columns}, note)


def _pixels(picture: NDArray) -> list:
    image = picture.transpose(1, 2, 0) if len(picture) == COLOURS else picture.mean(axis=0)
    pixels: list = image.clip(0.0, 1.0).round(3).tolist()
    return pixels


def survival(outcomes: Sequence[Outcome], quality: NDArray) -> Figure:
    """How many reconstructions are better than each PSNR, and how many of the blind guesses."""
    blind = reconstruction_metrics.psnr(np.concatenate([one.blind.ravel() for one in outcomes]))
    x = [float(threshold) for threshold in range(0, 61, 2)]
    series = {"reconstructed": quality, "blind guess": blind}
    shares = [[float((values > threshold).mean()) for threshold in x] for values in series.values()]
    arrays = {"x": [x] * len(series), "y": shares, "series": list(series)}
    return Figure("lines", "Share of records by quality", "PSNR (dB)", "Share above", arrays)


def _traces(outcomes: Sequence[Outcome]) -> tuple[Figure, ...]:
    traces = [trace for one in outcomes for trace in one.traces][:8]
    finite = [[value for value in trace if np.isfinite(value)] for trace in traces]
    drawn = [trace for trace in finite if len(trace) > 1]
    if not drawn:
        return ()
    is_positive = all(value > 0 for trace in drawn for value in trace)
    arrays = {
        "x": [[100.0 * place / (len(trace) - 1) for place in range(len(trace))] for trace in drawn],
        "y": drawn,
        "series": [f"batch {number}" for number in range(1, len(drawn) + 1)],
        **({"log_y": True} if is_positive else {}),
    }
    return (Figure("lines", "The attack's own loss", "Share of the run (%)", "Best loss so far", arrays),)


def decay(axis: str, values: Sequence[float], found: Sequence[dict[str, Estimate]]) -> tuple[Figure, Table]:
    """The decay curve: quality at every point of the axis."""
    x, title = [float(value) for value in values], AXES[axis]
    medians, means, blind = (
        [point[name].value for point in found] for name in ("psnr_median", "psnr_mean", "blind_psnr")
    )
    series = ["median", "mean", "blind guess"]
    arrays: dict[str, Any] = {"x": [x] * len(series), "y": [medians, means, blind], "series": series}
    if axis == "strength" and min(x) > 0:
        arrays["log_x"] = True
    rows = tuple(
        (value, *(number for name in ("psnr_median", "psnr_mean", "psnr_min", "ssim", "above_20", "leakage")
                  for number in _bounds(point[name])))
        for value, point in zip(values, found, strict=True)
    )  # fmt: skip
    columns = [title]
    for name in ("Median PSNR", "Mean PSNR", "Worst PSNR", "SSIM", "Above 20 dB", "Leakage"):
        columns += [name, f"{name}, low", f"{name}, high"]
    return (
        Figure("lines", "How the quality decays", title, "PSNR (dB)", arrays, FIRST),
        Table("Decay", tuple(columns), rows, "Low and high bound 95 % intervals, where there is one."),
    )


def _bounds(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.value, estimate.low, estimate.high


def _records(outcomes: Sequence[Outcome]) -> Table:
    rows = []
    for turn, one in enumerate(outcomes):
        errors, quality = one.errors, reconstruction_metrics.psnr(one.errors)
        similar, blind = reconstruction_metrics.ssim(one.found, one.true), reconstruction_metrics.psnr(one.blind)
        for batch, record in np.ndindex(*errors.shape):
            values = (quality, similar, errors, blind)
            numbers = [float(each[batch, record]) for each in values]
            rows.append((turn + batch + 1, record + 1, int(one.labels[batch, record]), *numbers))
    columns = ("Batch", "Record", "Class", "PSNR", "SSIM", "Mean squared error", "Blind PSNR")
    said = "; ".join(sorted({note for one in outcomes for note in one.notes}))
    note = f"The attack took {sum(one.seconds for one in outcomes):.1f} s." + (f" It says: {said}." if said else "")
    return Table("Every record", columns, tuple(rows), note)


def _federation(outcomes: Sequence[Outcome]) -> tuple[Table, ...]:
    rows = tuple(
        (*row, float(np.median(reconstruction_metrics.psnr(one.errors)))) for one in outcomes for row in one.federation
    )
    columns = ("Round", "Attacked client", "Its records", "Accuracy of the average", "Median PSNR")
    return (Table("Rounds of the federation", columns, rows),) if rows else ()


def _settings(parameters: Parameters) -> Table:
    return Table("Settings in effect", ("Setting", "Value"), tuple(as_json(parameters).items()))


def _arrays(outcomes: Sequence[Outcome]) -> dict[str, NDArray]:
    return {
        f"{name}_{turn}": array
        for turn, one in enumerate(outcomes, 1)
        for name, array in (("true", one.true), ("found", one.found), ("labels", one.labels))
    }
