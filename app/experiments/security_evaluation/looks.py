"""A closer look at one sample at one size of the perturbation, drawn from the arrays of a report; loads no torch."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from app.experiments.base import Axis
from app.reports import Figure

Arrays = Mapping[str, NDArray]
SMALLEST = 1e-12
"""A change below it counts as none when it is amplified."""


def axes(arrays: Arrays) -> tuple[Axis, ...]:
    """The inspected samples and the sizes; empty if no sample was kept.

    The first look is at the largest size of the first sample that became an error.
    """
    sizes, shown = arrays["sizes"], len(arrays["inspected_classes"])
    if not shown:
        return ()
    distances = arrays["distances"][:shown]
    broken = np.flatnonzero(np.isfinite(distances) & (distances > 0))
    return (
        Axis("sample", "Sample", _samples(arrays, shown), int(broken[0]) if len(broken) else 0),
        Axis("size", "Size of the perturbation", tuple(f"{size:.4g}" for size in sizes), len(sizes) - 1),
    )


def _samples(arrays: Arrays, shown: int) -> tuple[str, ...]:
    name, width = _names(arrays), _width(arrays)
    listed = zip(arrays["rows"][:shown], arrays["labels"][:shown], arrays["distances"][:shown], strict=True)
    return tuple(f"{row}: {name(label)}, {_fate(distance / width)}" for row, label, distance in listed)


def _fate(distance: float) -> str:
    if distance == 0:
        return "wrong as it is"
    return f"an error from {distance:.3g} on" if np.isfinite(distance) else "no error found"


def inspect(arrays: Arrays, sample: int, size: int) -> tuple[Figure, ...]:
    """Pictures, classes with their probabilities, and loss and distance by iteration.

    `sample` and `size` are places among the labels of `axes`. Raises IndexError for one that is not there.
    """
    figures = [_pictures(arrays, sample, size), _classes(arrays, sample, 0, "Classes of the original")]
    if size:
        figures.append(_classes(arrays, sample, size, "Classes of the changed image"))
    return (*figures, *_paths(arrays, sample, size))


def _pictures(arrays: Arrays, sample: int, size: int) -> Figure:
    low, width, name = float(arrays["range"][0]), _width(arrays), _names(arrays)
    before, after = arrays["inspected_original"][sample], arrays["inspected_images"][sample, size]
    change = after - before
    largest = float(np.abs(change).max())
    factor = width / max(2 * largest, SMALLEST)
    scaled = ((before - low) / width, (after - low) / width, 0.5 + change / (2 * max(largest, SMALLEST)))
    classes = arrays["inspected_classes"][sample]
    captions = (
        f"original: {name(classes[0, 0])}",
        f"changed: {name(classes[size, 0])}",
        f"change, {factor:,.0f} times as strong" if largest > SMALLEST else "no change",
    )
    return Figure(
        "images",
        "Original, changed image, and the change",
        "",
        "",
        {"images": [_pixels(image) for image in scaled], "captions": list(captions)},
        f"Sample {arrays['rows'][sample]} of the data set, labelled {name(arrays['labels'][sample])}. "
        f"The largest change of a value is {largest / width:.4g} of the input range; grey is no change.",
    )


def _classes(arrays: Arrays, sample: int, size: int, title: str) -> Figure:
    name = _names(arrays)
    classes, shares = arrays["inspected_classes"][sample, size], arrays["inspected_confidences"][sample, size]
    label = int(arrays["labels"][sample])
    labels = [f"{name(one)} (the label)" if one == label else name(one) for one in classes]
    bars = {"labels": labels, "values": shares.astype(float).tolist()}
    return Figure("bars", title, "Class", "Probability", bars, "The most probable ones, at most ten.")


def _paths(arrays: Arrays, sample: int, size: int) -> tuple[Figure, ...]:
    """Two lines by iteration; none where the attack has left no path."""
    loss, distance = (arrays[key][sample, size].astype(float) for key in ("path_loss", "path_distance"))
    drawn = (
        ("Loss by iteration", "Loss", loss, "What the attack makes large."),
        (
            "Distance by iteration",
            "Distance (share of the input range)",
            distance / _width(arrays),
            "How far the attempt is from the original.",
        ),
    )
    return tuple(_line(*one) for one in drawn if np.isfinite(one[2]).any())


def _line(title: str, y: str, path: NDArray, note: str) -> Figure:
    known = path[: int(np.flatnonzero(np.isfinite(path))[-1]) + 1]
    values = [float(value) if np.isfinite(value) else None for value in known]
    x = "Iteration (of long runs, evenly spaced ones)"
    return Figure("lines", title, x, y, {"x": list(range(len(values))), "y": [values], "series": [y]}, note)


def _pixels(image: NDArray) -> list:
    """(C, H, W) values as (H, W) or (H, W, 3) ones in [0, 1]."""
    clipped = np.clip(image, 0.0, 1.0).astype(float)
    pixels: list = (clipped[0] if len(clipped) == 1 else np.moveaxis(clipped, 0, 2)).tolist()
    return pixels


def _width(arrays: Arrays) -> float:
    return float(arrays["range"][1] - arrays["range"][0])


def _names(arrays: Arrays) -> Callable[[int], str]:
    """What a class is called: its name, or its number."""
    known = arrays["class_names"] if "class_names" in arrays else np.empty(0)
    return lambda label: str(known[label]) if 0 <= label < len(known) else str(label)
