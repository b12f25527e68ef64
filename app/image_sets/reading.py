"""Makes images and labels out of what a file holds, or says everything that is wrong with it."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import bundles
from app.archives import SHOWN
from app.errors import InvalidUpload, Reason
from app.image_sets import hdf5
from app.image_sets.images import ImageSet, ImageSetLimits

SAMPLES, LABELS, NAMES = "samples", "labels", "class_names"
CHANNELS = (1, 3)
MAX_NAME = 80
DEFAULT = ImageSetLimits()
FIX = "Save samples as (N, C, H, W) and labels as (N,) under these names."


def read(path: Path, limits: ImageSetLimits = DEFAULT) -> ImageSet:
    """The labelled images of an HDF5 or npz file, told apart by their first bytes.

    `samples` (N, C, H, W) or (N, H, W, C) of 1 or 3 channels, float16/32/64 or uint8; `labels` (N,), (N, 1) or one-hot;
    optionally `class_names`. Raises InvalidUpload with every reason at once.
    """
    arrays, reasons = _arrays(path, limits)
    missing = [name for name in (SAMPLES, LABELS) if name not in arrays]
    if missing and not reasons:
        where = f"missing: {', '.join(missing)}"
        reasons.append(Reason("The file holds samples and labels.", where, FIX, len(missing)))
    samples, labels, names = (arrays.get(name) for name in (SAMPLES, LABELS, NAMES))
    reasons += [] if samples is None else _sample_complaints(samples, limits)
    plain = None if labels is None else _labels(labels, limits, reasons)
    if samples is not None and plain is not None and samples.ndim and len(samples) != len(plain):
        reasons.append(Reason("There is one label for each sample.", f"{len(samples)} and {len(plain)}", FIX))
    reasons += [] if names is None else _name_complaints(names, plain)
    if reasons or samples is None or plain is None:
        raise InvalidUpload(reasons)
    return _image_set(samples, plain, names)


def _arrays(path: Path, limits: ImageSetLimits) -> tuple[dict[str, np.ndarray], list[Reason]]:
    with path.open("rb") as file:
        start = file.read(len(hdf5.MAGIC))
    if start == hdf5.MAGIC:
        return hdf5.read(path, (SAMPLES, LABELS), (NAMES,), limits.total_bytes)
    if start[:2] != b"PK":
        rule = "The file is an HDF5 file (.h5, .hdf5) or a numpy archive (.npz)."
        return {}, [Reason(rule, f"it begins with {start[:8]!r}" if start else "it is empty", FIX)]
    return bundles.read(path, None, limits.total_bytes), []


def _sample_complaints(samples: np.ndarray, limits: ImageSetLimits) -> list[Reason]:
    found = f"{samples.shape} of {samples.dtype}"
    reasons = []
    if not (samples.dtype.kind == "f" or samples.dtype == np.uint8):
        fix = "Convert them with samples.astype('float32') or, for 0 to 255, astype('uint8')."
        reasons.append(Reason("The samples are float16, float32, float64 or uint8.", str(samples.dtype), fix))
    if samples.ndim != 4 or not (samples.shape[1] in CHANNELS or samples.shape[3] in CHANNELS):
        fix = "Add a missing channel with samples[:, None]; move channels with numpy.moveaxis(samples, 3, 1)."
        reasons.append(Reason("The samples have the shape (N, C, H, W) with 1 or 3 channels.", found, fix))
    if samples.ndim and not 1 <= len(samples) <= limits.samples:
        rule = f"There are 1 to {limits.samples:,} samples."
        reasons.append(Reason(rule, f"{len(samples):,}", "Choose a part of the set."))
    if samples.size == 0 or 4 * samples.size > limits.total_bytes:
        rule = (
            f"The samples take at most {limits.total_bytes / 1e6:,.0f} MB in single precision, and more than nothing."
        )
        reasons.append(Reason(rule, found, "Choose a part of the set."))
    return reasons or list(_value_complaints(samples))


def _value_complaints(samples: np.ndarray) -> Iterable[Reason]:
    if samples.dtype.kind != "f":
        return
    bad = ~np.isfinite(samples) | (np.abs(samples) > np.finfo(np.float32).max)
    if count := int(bad.sum()):
        first = np.argwhere(bad.any(axis=(1, 2, 3)))[:SHOWN, 0]
        places = f"in the samples {', '.join(map(str, first))}"
        yield Reason("The samples are finite numbers.", places, "Remove NaN, infinity and huge numbers.", count)


def _labels(labels: np.ndarray, limits: ImageSetLimits, reasons: list[Reason]) -> NDArray[np.int64] | None:
    """The labels as (N,) whole numbers; None after saying what is wrong with them."""
    found = f"{labels.shape} of {labels.dtype}"
    fix = "Save labels as (N,) whole numbers from 0."
    if labels.dtype.kind not in "biuf" or labels.ndim not in (1, 2) or labels.size == 0:
        reasons.append(Reason("The labels are (N,) or (N, 1) whole numbers, or one-hot (N, K).", found, fix))
        return None
    if labels.dtype.kind == "f" and not bool((labels == np.round(labels)).all()):
        reasons.append(Reason("The labels are whole numbers.", found, fix))
        return None
    if labels.ndim == 2 and labels.shape[1] > 1:
        hot = labels != 0
        if not bool(((labels == 1) == hot).all() and (hot.sum(axis=1) == 1).all()):
            reasons.append(Reason("One-hot labels have one 1 in each row and else 0.", found, fix))
            return None
        plain = hot.argmax(axis=1)
    else:
        plain = labels.reshape(-1)
    low, high = plain.min(), plain.max()
    if low < 0 or high >= limits.classes:
        rule = f"The labels lie between 0 and {limits.classes - 1:,}."
        reasons.append(Reason(rule, f"from {low} to {high}", fix))
        return None
    return plain.astype(np.int64)


def _name_complaints(names: np.ndarray, labels: NDArray[np.int64] | None) -> Iterable[Reason]:
    fix = "Save class_names as a list of texts, one for each class."
    if names.dtype.kind not in "US" or names.ndim != 1:
        yield Reason("The class names are a list of texts.", f"{names.shape} of {names.dtype}", fix)
    elif labels is not None and len(names) <= int(labels.max()):
        yield Reason("Every class has a name.", f"{len(names)} names, labels up to {int(labels.max())}", fix)


def _image_set(samples: np.ndarray, labels: NDArray[np.int64], names: np.ndarray | None) -> ImageSet:
    is_last = samples.shape[1] not in CHANNELS
    ordered = np.moveaxis(samples, 3, 1) if is_last else samples
    values = np.ascontiguousarray(ordered, dtype=np.float32)
    if samples.dtype == np.uint8:
        values /= 255.0
    low, high = _range(values)
    shown = () if names is None else tuple(_text(name) for name in names)
    return ImageSet(values, labels, shown, low, high, samples.dtype.name, "NHWC" if is_last else "NCHW")


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    for end in (1.0, 255.0):
        if low >= 0.0 and high <= end:
            return 0.0, end
    # A set whose values are all alike still needs a range in which they can move.
    return low, high if high > low else low + 1.0


def _text(name: str | bytes) -> str:
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:MAX_NAME]
