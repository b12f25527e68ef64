"""The report of a security evaluation, as PandaVision's clients read it."""

import base64
import csv
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Arrays = Mapping[str, NDArray]
WORDS = {
    "queued": "queued",
    "running": "started",
    "accepted": "finished",
    "rejected": "failed",
    "failed": "failed",
    "cancelled": "canceled",
}
"""Our states in the words of PandaVision's queue."""
CURVE, LEVEL = "Security evaluation curve", "Security level"
IMAGES = ("adv_examples", "orig_samples", "diff")
IN_RESULTS = 100_000
"""The most numbers of images that are sent with the results; more are asked for one by one."""
ENDS = 10
"""Scores at the start of a path, and as many at its end."""
PATHS = ("path_loss", "path_distance", "path_scores")
PICTURES = ("inspected_original", "inspected_images", "range")
ABOUT = ("inspected_classes", "inspected_confidences", "class_names", "rows", "labels")
"""Names of arrays, by the answers that need them."""


def numbers_of(path: Path, *names: str) -> dict[str, NDArray]:
    """Some of the arrays that an experiment has left at `path`; the others are not read."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in names if name in archive.files}


def results(report: Mapping[str, Any], arrays: Arrays) -> dict[str, Any]:
    """The member `results` of the output: level, curve, and the paths of the inspected samples at the largest size.

    `arrays` are those of PATHS and PICTURES. Beyond PandaVision's keys there are counts, intervals and notes.
    """
    level, value, formula = _table(report, LEVEL)["rows"][0]
    columns = _columns(report)
    found = {
        "sec-level": level,
        "sec-value": value,
        "sec-formula": formula,
        "sec-curve": {
            "x-values": as_texts(columns["Size"]),
            "y-values": columns["Accuracy"],
            "absolute-values": columns["Size in input units"],
            "robust": columns["Robust"],
            "samples": columns["Samples"],
            "low": columns["Low"],
            "high": columns["High"],
        },
        "notes": list(report["notes"]),
        "debug_possible": bool(arrays["path_loss"].shape[2] and len(arrays["path_loss"])),
    }
    if found["debug_possible"]:
        found |= _debug(arrays)
    return found


def _debug(arrays: Arrays) -> dict[str, Any]:
    losses, distances, scores = (arrays[name][:, -1] for name in PATHS)
    found: dict[str, Any] = {
        "attack_losses": [_plain(path) for path in losses],
        "attack_distances": [_plain(path) for path in distances],
        "attack_scores": [_ends(path) for path in scores],
    }
    original, images = arrays["inspected_original"], arrays["inspected_images"][:, -1]
    if original.size <= IN_RESULTS:
        found |= {"adv_examples": images.tolist(), "orig_samples": original.tolist()}
    return found


def _plain(path: NDArray) -> list[float]:
    """The numbers of a path up to its end."""
    numbers: list[float] = path[np.isfinite(path)].astype(float).tolist()
    return numbers


def _ends(scores: NDArray) -> list[float]:
    """The highest scores where a path begins and where it ends."""
    known = scores[np.isfinite(scores).all(axis=1)]
    return [] if not len(known) else [*_plain(known[0][:ENDS]), *_plain(known[-1][:ENDS])]


def as_texts(sizes: Sequence[float]) -> list[str]:
    """Perturbation sizes as PandaVision wrote them, with three decimals, where that is exact; else in full."""
    return [f"{size:.3f}" if float(f"{size:.3f}") == size else repr(float(size)) for size in sizes]


def csv_text(report: Mapping[str, Any]) -> str:
    """The curve as CSV: PandaVision's three columns at full precision, then counts and intervals."""
    columns = _columns(report)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", "pert_value", "accuracy", "robust", "samples", "low", "high"])
    names = ("Accuracy", "Robust", "Samples", "Low", "High")
    rows = zip(as_texts(columns["Size"]), *(columns[name] for name in names), strict=True)
    writer.writerows([place, *row] for place, row in enumerate(rows))
    return text.getvalue()


def samples(report: Mapping[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Which samples and sizes can be inspected; `arrays` is `inspected_original`."""
    sizes = as_texts(_columns(report)["Size"])
    return {"epsilon_values": sizes[1:], "num_samples": list(range(len(arrays["inspected_original"])))}


def inspection(report: Mapping[str, Any], arrays: Arrays, sample: int, size: int = -1) -> dict[str, Any]:
    """Loss and distance by iteration of one sample at one size. Raises IndexError for one that is not there.

    `arrays` are those of PATHS and ABOUT. A size of -1 is the largest.
    """
    sizes = as_texts(_columns(report)["Size"])
    sample, size = _place(sample, len(arrays["path_loss"])), _place(size, len(sizes), wraps=True)
    names = arrays.get("class_names", np.empty(0))

    def label(one: int) -> str:
        return str(names[one]) if one < len(names) else str(one)

    classes = arrays["inspected_classes"][sample]
    confidences = arrays["inspected_confidences"][sample]
    return {
        "attack_losses": _plain(arrays["path_loss"][sample, size]),
        "attack_distances": _plain(arrays["path_distance"][sample, size]),
        "epsilon_vals": sizes,
        "num_samples": len(arrays["path_loss"]),
        "epsilon": sizes[size],
        "index": int(arrays["rows"][sample]),
        "label": label(int(arrays["labels"][sample])),
        "original": _predicted(classes[0], confidences[0], label),
        "adversarial": _predicted(classes[size], confidences[size], label),
    }


def _predicted(classes: NDArray, confidences: NDArray, label: Callable[[int], str]) -> list[dict[str, Any]]:
    return [
        {"class": label(int(one)), "confidence": float(share)} for one, share in zip(classes, confidences, strict=True)
    ]


def _place(place: int, count: int, *, wraps: bool = False) -> int:
    if wraps and place == -1:
        place = count - 1
    if not 0 <= place < count:
        raise IndexError(place)
    return place


def image(arrays: Arrays, sample: int, kind: str, size: int = -1) -> str:
    """A picture as a data URI; `arrays` are those of PICTURES. Raises IndexError or KeyError for what is not there.

    The difference is amplified by its own largest value, around grey.
    """
    if kind not in IMAGES:
        raise KeyError(kind)
    sample = _place(sample, len(arrays["inspected_original"]))
    size = _place(size, arrays["inspected_images"].shape[1], wraps=True)
    low, high = arrays["range"]
    original, changed = arrays["inspected_original"][sample], arrays["inspected_images"][sample, size]
    if kind == "diff":
        change = changed - original
        return _uri(0.5 + change / (2.0 * max(float(np.abs(change).max()), 1e-12)))
    return _uri(((changed if kind == "adv_examples" else original) - low) / (high - low))


def _uri(values: NDArray) -> str:
    """(C, H, W) numbers in [0, 1] as a PNG."""
    pixels = (np.clip(values, 0.0, 1.0) * 255.0).round().astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _table(report: Mapping[str, Any], title: str) -> Mapping[str, Any]:
    table: Mapping[str, Any] = next(one for one in report["tables"] if one["title"] == title)
    return table


def _columns(report: Mapping[str, Any]) -> dict[str, list[Any]]:
    table = _table(report, CURVE)
    return dict(zip(table["columns"], map(list, zip(*table["rows"], strict=True)), strict=True))
