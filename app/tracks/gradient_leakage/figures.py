"""The pictures of a result: reconstructions beside the originals for the defender, alone for the attacker."""

import numpy as np
from numpy.typing import NDArray

from app.reconstruction_metrics import Floats
from app.tracks.base import Figure

SHOWN = 8
"""Records of one picture, from the best reconstruction to the worst."""
COLUMNS = 40
IMAGE_AXES = 3
THRESHOLDS = range(0, 61, 2)


def beside(found: NDArray, true: NDArray, labels: NDArray[np.int64], quality: Floats) -> Figure:
    """Originals and reconstructions (n, ...) side by side, with labels (n,) and PSNR (n,); for the defender only."""
    chosen = spread(quality)
    shown = [record for place in chosen for record in (true[place], found[place])]
    captions = [
        text for place in chosen for text in (f"private, class {labels[place]}", f"rebuilt, {quality[place]:.1f} dB")
    ]
    note = "Each private record with its class, and next to it what the attacker made of it; the best first."
    return _records(shown, captions, "Private records and reconstructions", note)


def alone(found: NDArray) -> Figure:
    """The first reconstructions (K, B, ...) of an attacker, who does not see the originals."""
    places = [divmod(number, found.shape[1]) for number in range(min(2 * SHOWN, found.shape[0] * found.shape[1]))]
    captions = [f"batch {batch + 1}, {place + 1}" for batch, place in places]
    return _records([found[place] for place in places], captions, "Your reconstructions", "The first ones, as read.")


def survival(quality: Floats, blind: Floats) -> Figure:
    """How many reconstructions (n,) are better than each PSNR, and how many of the blind guesses (n,)."""
    x = [float(threshold) for threshold in THRESHOLDS]
    series = {"reconstructed": quality, "blind guess": blind}
    return Figure(
        kind="lines",
        title="Share of records by quality",
        x="PSNR (dB)",
        y="Share above",
        arrays={
            "x": x,
            "y": [[float((values > threshold).mean()) for threshold in x] for values in series.values()],
            "series": list(series),
        },
        note="From about 20 dB on, a reconstruction is easily recognised.",
    )


def bars(values: Floats, title: str, y: str) -> Figure:
    """One bar per private batch."""
    labels = [str(number + 1) for number in range(len(values))]
    return Figure("bars", title, "Batch", y, {"labels": labels, "values": [float(value) for value in values]})


def spread(quality: Floats) -> NDArray[np.int64]:
    """At most SHOWN places from the best to the worst, equally far apart in this order."""
    order = np.argsort(-quality, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(np.int64)]


def _records(shown: list[NDArray], captions: list[str], title: str, note: str) -> Figure:
    if shown[0].ndim == IMAGE_AXES:
        images = [image.mean(axis=0).clip(0.0, 1.0).round(4).tolist() for image in shown]
        return Figure("images", title, "", "", {"images": images, "captions": captions}, note)
    rows = [record.ravel()[:COLUMNS].clip(0.0, 1.0).round(4).tolist() for record in shown]
    columns = [str(number + 1) for number in range(len(rows[0]))]
    numbered = [f"{number + 1}: {caption}" for number, caption in enumerate(captions)]
    return Figure("heatmap", title, "Column", "", {"values": rows, "rows": numbered, "columns": columns}, note)
