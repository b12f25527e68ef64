"""The pictures of a result: accuracy by class, and inputs before and after."""

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.tracks.base import Figure

PAIRS = 6


def by_class(right: NDArray[np.bool_], labels: NDArray[np.int64], title: str) -> Figure:
    """The share of right images of each class that occurs."""
    classes = np.unique(labels)
    counts = [(float(right[labels == one].sum()), int((labels == one).sum())) for one in classes]
    bounds = [metrics.wilson(*count) for count in counts]
    return Figure(
        kind="bars",
        title=title,
        x="Class (images)",
        y="Share right",
        arrays={
            "labels": [f"{one} ({n})" for one, (_, n) in zip(classes, counts, strict=True)],
            "values": [hits / n for hits, n in counts],
            "low": [low for low, _ in bounds],
            "high": [high for _, high in bounds],
        },
        note="With Wilson's 95 % intervals.",
    )


def _picture(image: NDArray) -> NDArray:
    """(H, W) or (H, W, 3) of an image (C, H, W)."""
    return np.clip(image[0] if len(image) != 3 else np.moveaxis(image, 0, 2), 0.0, 1.0)


def pairs(moved: NDArray, originals: NDArray, labels: NDArray[np.int64], broken: NDArray[np.bool_]) -> Figure:
    """A few inputs before and after, those that became wrong first."""
    chosen = np.argsort(~broken, kind="stable")[:PAIRS]
    shown, captions = [], []
    for place in chosen:
        outcome = "now wrong" if broken[place] else "not broken"
        shown += [_picture(originals[place]), _picture(moved[place])]
        captions += [f"{labels[place]}", f"{labels[place]}, moved: {outcome}"]
    return Figure(
        kind="images",
        title="Inputs before and after",
        x="",
        y="",
        arrays={"images": [image.round(4).tolist() for image in shown], "captions": captions},
        note="Each original with its label, and next to it what the attacker made of it.",
    )
