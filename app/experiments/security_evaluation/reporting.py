"""Puts the findings into words, tables, pictures and arrays."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.attacks.evasion.base import MinimumDistance
from app.attacks.evasion.curve import FORMULA, TOLERANCE, SecurityCurve
from app.experiments.base import Bundle, Report
from app.experiments.security_evaluation.attacking import Findings
from app.experiments.security_evaluation.choices import NORMS
from app.experiments.security_evaluation.parameters import Parameters
from app.experiments.security_evaluation.verification import Verification
from app.image_sets import ImageSet
from app.parameters import as_json
from app.reports import Estimate, Figure, Table

BINS = 20
KEPT_VALUES = 1 << 24
"""The most numbers in all adversarial images that are kept: 64 MB."""
SHOWN, SIDE = 4, 64
"""How many samples are pictured, and how large, at most."""
CURVE, LEVEL = "Security evaluation curve", "Security level"
CHECKS, VERIFIED, PARAMETERS = "Reasons not to trust it", "Verification", "Parameters"
"""Titles of the tables, by which other interfaces find them."""


def report(
    found: Findings, verified: Verification, images: ImageSet, rows: NDArray[np.int64], parameters: Parameters
) -> Report:
    """The report on the chosen samples `rows` of `images`."""
    curve = found.curve
    robust, clean = curve.robust, int((curve.distance > 0).sum())
    units = _units(found, images)
    pictures = (_curve_figure(found, parameters, units), _histogram(found), *_images_figure(found, images))
    return Report(
        metrics={
            "clean_accuracy": _share(clean, curve.samples),
            "robust_accuracy": _share(int(robust[-1]), curve.samples),
            "level_value": Estimate(curve.value),
            "median_distance": Estimate(_median(curve) / found.question.box.width),
        },
        tables=(
            _curve_table(found, parameters, units),
            Table(LEVEL, ("Level", "Value", "Formula"), ((curve.level, curve.value, FORMULA),)),
            Table(
                CHECKS,
                ("Check", "What", "Evidence", "Advice"),
                tuple(tuple(vars(flag).values()) for flag in found.flags),
            ),
            _verification_table(verified),
            _parameter_table(found, parameters),
        ),
        figures=pictures,
        arrays=_arrays(found, verified, images, rows, parameters),
        notes=(*_doubts(found, verified), *(f"{flag.what} {flag.evidence} {flag.advice}" for flag in found.flags)),
    )


def _doubts(found: Findings, verified: Verification) -> Iterator[str]:
    """What the errors themselves say against the curve."""
    if lost := int((~verified.holds).sum()):
        yield (
            f"{lost} of {len(verified.rows)} errors did not hold when they were checked once more, apart from the "
            "attack. The curve counts them, so it may be too low."
        )
    missed = int(np.isinf(found.curve.distance).sum())
    if missed and isinstance(found.attack, MinimumDistance):
        yield (
            f"The attack found no error at any distance for {missed} of {found.curve.samples} samples. An unbounded "
            "search that fails says more about the attack than about the model: give it more steps, or take another."
        )


def _share(count: int, total: int) -> Estimate:
    return Estimate(count / max(1, total), *metrics.wilson(count, total))


def _median(curve: SecurityCurve) -> float:
    """The distance within which half of the samples that were right became errors; at most the largest size."""
    right = curve.distance[curve.distance > 0]
    middle = float(np.median(right)) if len(right) else 0.0
    return min(middle, float(curve.epsilons[-1]))


def _units(found: Findings, images: ImageSet) -> str:
    box = found.question.box
    return (
        f"Sizes are shares of the input range [{box.low:g}, {box.high:g}] ({images.original_dtype} in the file): "
        f"a size of 0.01 is {0.01 * box.width:g} in input units, measured in {NORMS[found.question.norm.value]}."
    )


def _curve_table(found: Findings, parameters: Parameters, units: str) -> Table:
    curve = found.curve
    columns = ("Size", "Size in input units", "Robust", "Samples", "Accuracy", "Low", "High")
    listed = zip(parameters.values(), curve.epsilons, curve.robust, curve.accuracy, curve.low, curve.high, strict=True)
    rows = tuple(
        (size, float(epsilon), int(count), curve.samples, float(share), float(low), float(high))
        for size, epsilon, count, share, low, high in listed
    )
    return Table(CURVE, columns, rows, f"Low and High bound Wilson's 95 % interval of the accuracy. {units}")


def _verification_table(verified: Verification) -> Table:
    asked = {
        "Errors that are reported": np.ones(len(verified.rows), np.bool_),
        "Misclassified again": verified.is_error,
        "Within the input range": verified.is_in_range,
        "Within the distance that is reported": verified.is_in_reach,
        "All three": verified.holds,
    }
    rows = tuple((name, int(mask.sum())) for name, mask in asked.items())
    note = (
        "Every error was looked at once more: the model read from its file again, in double precision, in another "
        "order and in other batches; range and distance to a millionth of the input range."
    )
    return Table(VERIFIED, ("Errors", "Count"), rows, note)


def _parameter_table(found: Findings, parameters: Parameters) -> Table:
    chosen = as_json(parameters) | {"norm": found.question.norm.value}
    rows = [*chosen.items(), ("attack, as it was run", repr(found.attack)), ("source", type(found.attack).source)]
    return Table(PARAMETERS, ("Name", "Value"), tuple((name, str(value)) for name, value in rows))


def _curve_figure(found: Findings, parameters: Parameters, units: str) -> Figure:
    curve, sizes = found.curve, list(parameters.values())
    lines = [curve.accuracy.tolist(), curve.low.tolist(), curve.high.tolist()]
    return Figure(
        "lines",
        "Accuracy by size of the perturbation",
        f"Size ({NORMS[found.question.norm.value]}, share of the input range)",
        "Accuracy",
        {"x": sizes, "y": lines, "series": ["Accuracy", "95 % interval, low", "95 % interval, high"]},
        f"Each sample counts as robust only below the smallest perturbation that any run has found. {units}",
    )


def _histogram(found: Findings) -> Figure:
    """How many samples became errors at which distance: in even bins, or between the sizes that were tried."""
    width, distance = found.question.box.width, found.curve.distance
    broken = distance[np.isfinite(distance) & (distance > 0)]
    edges = found.curve.epsilons
    if isinstance(found.attack, MinimumDistance) and len(broken):
        edges = np.linspace(0.0, float(broken.max()), BINS + 1)
    # A distance at the upper edge of a bin belongs to it, as an error at epsilon counts at epsilon.
    place = np.searchsorted(edges[1:] * (1.0 + TOLERANCE), broken)
    counts = np.bincount(place, minlength=len(edges) - 1)[: len(edges) - 1].tolist()
    labels = [f"{low / width:.3g} to {high / width:.3g}" for low, high in pairwise(edges)]
    ends = [int((distance == 0).sum()), *counts, int(np.isinf(distance).sum())]
    return Figure(
        "bars",
        "Smallest perturbation that was found",
        "Distance (share of the input range)",
        "Samples",
        {"labels": ["wrong as they are", *labels, "none found"], "values": ends},
    )


def _images_figure(found: Findings, images: ImageSet) -> tuple[Figure, ...]:
    """A few samples that became errors, before and after, and the difference made visible."""
    curve, box = found.curve, found.question.box
    broken = np.flatnonzero(np.isfinite(curve.distance) & (curve.distance > 0))[:SHOWN]
    pictures, captions = [], []
    for place in broken:
        before, after = found.question.x[place].cpu().numpy(), found.adversarial[place].cpu().numpy()
        change = after - before
        largest = max(float(np.abs(change).max()), 1e-12)
        scaled = ((before - box.low) / box.width, (after - box.low) / box.width, 0.5 + change / (2 * largest))
        pictures += [_picture(image) for image in scaled]
        label = images.name(int(found.question.y[place]))
        captions += [f"original: {label}", f"changed by {curve.distance[place] / box.width:.3g}", "change, amplified"]
    if not pictures:
        return ()
    return (Figure("images", "Errors", "", "", {"images": pictures, "captions": captions}),)


def _picture(image: NDArray) -> list:
    """(H, W) or (H, W, 3) numbers of at most 64 pixels a side, for JSON."""
    step = -(-max(image.shape[1:]) // SIDE)
    small = np.clip(image[:, ::step, ::step], 0.0, 1.0).round(3)
    pixels: list = (small[0] if len(small) == 1 else np.moveaxis(small, 0, 2)).astype(float).round(3).tolist()
    return pixels


def _arrays(
    found: Findings, verified: Verification, images: ImageSet, rows: NDArray[np.int64], parameters: Parameters
) -> Bundle:
    curve, seen = found.curve, found.inspection
    arrays = {
        "sizes": np.array(parameters.values()),
        "epsilons": curve.epsilons,
        "accuracy": curve.accuracy,
        "low": curve.low,
        "high": curve.high,
        "robust": curve.robust,
        "range": np.array([found.question.box.low, found.question.box.high]),
        "rows": rows,
        "labels": found.question.y.cpu().numpy(),
        "clean_predictions": found.clean,
        "distances": curve.distance,
        "verified": np.isin(np.arange(curve.samples), verified.rows[verified.holds]),
        "inspected_original": found.question.x[: len(seen.images)].cpu().numpy(),
        "inspected_images": seen.images.numpy(),
        "inspected_classes": seen.classes,
        "inspected_confidences": seen.confidences,
        "path_loss": seen.loss,
        "path_distance": seen.path,
        "path_classes": seen.path_classes,
        "path_scores": seen.path_scores,
    }
    if images.class_names:
        arrays["class_names"] = np.array(images.class_names)
    if found.adversarial.numel() <= KEPT_VALUES:
        arrays["adversarial"] = found.adversarial.cpu().numpy()
    return arrays
