"""The pictures of a result. All of them are for the defender: each tells something of who is a member."""

import itertools

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.roc import Roc
from app.tracks.base import Figure

POINTS = 60
BARS = 20
BOUNDS = (0.001, 0.01, 0.1, 0.25, 0.5)
CLASSES = 30


def roc(curve: Roc) -> Figure:
    """The curve in logarithmic axes, where low false-positive rates can be read."""
    floor = 0.5 / max(curve.positives, curve.negatives, 1)
    accused, found = (points.tolist() for points in curve.points(floor, POINTS))
    return Figure(
        kind="lines",
        title="Members found by strangers accused",
        x="Share of the strangers accused",
        y="Share of the members found",
        arrays={
            "x": [accused, [floor, 1.0]],
            "y": [found, [floor, 1.0]],
            "series": ["this answer", "blind guess"],
            "log_x": True,
            "log_y": True,
        },
        note=f"Both axes are logarithmic. Shares below half a record ({floor:.2g}) are drawn there.",
    )


def prices(scores: NDArray[np.float64], is_member: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(members,): the share of the strangers who must be accused to find each member; a tie counts one half."""
    strangers = np.sort(scores[~is_member])
    own = scores[is_member]
    above = len(strangers) - np.searchsorted(strangers, own, "right")
    tied = np.searchsorted(strangers, own, "right") - np.searchsorted(strangers, own, "left")
    return np.asarray((above + tied / 2.0) / max(len(strangers), 1))


def exposure(scores: NDArray[np.float64], is_member: NDArray[np.bool_]) -> Figure:
    """How many members can be found at which price."""
    found = prices(scores, is_member)
    edges = [-1.0, *BOUNDS, 1.0]
    counts = [int(((found > low) & (found <= high)).sum()) for low, high in itertools.pairwise(edges)]
    shares = [f"up to {bound:.1%}" for bound in BOUNDS]
    return Figure(
        kind="bars",
        title="How exposed your records are",
        x="Strangers with a higher score",
        y="Share of your records",
        arrays={
            "labels": [*(f"{text} ({n})" for text, n in zip([*shares, "more"], counts, strict=True))],
            "values": [count / max(len(found), 1) for count in counts],
            "low": [metrics.wilson(count, len(found))[0] for count in counts],
            "high": [metrics.wilson(count, len(found))[1] for count in counts],
        },
        note="Records at the top stand out from all strangers, those at the bottom do not. Only you see this.",
    )


def most_exposed(scores: NDArray[np.float64], is_member: NDArray[np.bool_], rows: NDArray[np.int64]) -> Figure:
    """The rows of the training set that stand out most."""
    found, own = prices(scores, is_member), rows[is_member]
    worst = np.lexsort((own, found))[:BARS]
    return Figure(
        kind="bars",
        title="Your most exposed records",
        x="Row of your training set, counted from 0",
        y="Share of the strangers with a lower score",
        arrays={
            "labels": [str(row) for row in own[worst]],
            "values": [1.0 - float(price) for price in found[worst]],
        },
        note="These records look least like strangers to this attack. Only you see this.",
    )


def by_class(right: NDArray[np.bool_], labels: NDArray[np.int64], names: tuple[str, ...]) -> Figure:
    """The share of right records of each class that occurs; of many classes, those of which the model knows least."""
    classes = np.unique(labels)
    counts = [(float(right[labels == one].sum()), int((labels == one).sum())) for one in classes]
    order = np.argsort([hits / n for hits, n in counts], kind="stable")[:CLASSES]
    shown = sorted(order) if len(classes) <= CLASSES else order
    bounds = [metrics.wilson(*counts[place]) for place in shown]
    titles = [names[classes[place]] if names else str(classes[place]) for place in shown]
    return Figure(
        kind="bars",
        title="Accuracy by class",
        x="Class (records)",
        y="Share right",
        arrays={
            "labels": [f"{title} ({counts[place][1]})" for title, place in zip(titles, shown, strict=True)],
            "values": [counts[place][0] / counts[place][1] for place in shown],
            "low": [low for low, _ in bounds],
            "high": [high for _, high in bounds],
        },
        note="On the held-out records, with Wilson's 95 % intervals.",
    )
