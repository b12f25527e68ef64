"""How much an answer reveals of the cells behind the captures: 0 = a blind guess, 1 = everything."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.errors import InvalidUpload, Reason
from app.tracks.base import Bundle, Estimate, Figure, Score

RESAMPLES = 1000
REPLICATES = 200
"""Replicates of the value that are kept, the first ones of all resamples."""
TOP = 5
BITS = 17
BARS = 20
"""Cells shown as the most identifiable ones."""
CURVE = 20
"""Longest list of guesses on the top-k curve."""


def leakage(answer: Bundle, secret: Bundle) -> Score:
    """The normalised advantage max(0, (accuracy - 1/N) / (1 - 1/N)) with accuracy, AUC, top-5 and log-loss.

    Answer and secret are joined by capture id. The resamples are drawn from the ids of the secret, so that replicate b
    of every answer to one challenge is about the same captures and two answers can be compared pair by pair.
    Raises InvalidUpload when the answer is not about exactly the captures of the secret.
    """
    probabilities, labels, ids = joined(answer, secret)
    classes = probabilities.shape[1]
    indices = metrics.resamples(len(ids), RESAMPLES, np.random.default_rng(ids.astype(np.uint64).view(np.uint32)))
    weights = metrics.multiplicities(indices)
    hits = metrics.credit(probabilities, labels)
    replicates = metrics.advantage(metrics.weighted_mean(hits, weights), 1.0 / classes)
    value = float(metrics.advantage(hits.mean(), 1.0 / classes))
    return Score(
        value=value,
        metrics={
            "advantage": Estimate(value, *metrics.percentile_interval(replicates)),
            "accuracy": Estimate(float(hits.mean()), *metrics.wilson(float(hits.sum()), len(hits))),
            **_others(probabilities, labels, weights),
        },
        replicates=replicates[:REPLICATES],
        figures=figures(probabilities, labels),
    )


def joined(answer: Bundle, secret: Bundle) -> tuple[NDArray[np.floating], NDArray[np.int64], NDArray[np.int64]]:
    """Probabilities (m, N), labels 0 to N - 1 (m,) and ids (m,) of the captures of the secret, sorted by id."""
    answered, asked = np.argsort(answer["capture"]), np.argsort(secret["capture"])
    ids = secret["capture"][asked]
    if not len(ids) or not np.array_equal(answer["capture"][answered], ids):
        rule = "An answer holds one row for every capture of the challenge, and no other row."
        fix = "Take the capture ids from the test file of this defence."
        raise InvalidUpload([Reason(rule, f"{len(answered)} rows for {len(ids)} captures", fix)])
    return answer["probabilities"][answered], secret["cell"][asked].astype(np.int64) - 1, ids


def _others(
    probabilities: NDArray[np.floating], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> dict[str, Estimate]:
    ranked = rounded(probabilities)
    areas = metrics.macro_auc_of_resamples(ranked, labels, weights)
    area, interval = metrics.macro_auc(ranked, labels), metrics.percentile_interval(areas)
    return {
        "top_5": _mean(metrics.credit(probabilities, labels, min(TOP, probabilities.shape[1])), weights),
        "auc": Estimate(area, *interval),
        "classic_performance": Estimate(10 * area, 10 * interval[0], 10 * interval[1]),
        "log_loss": _mean(metrics.log_losses(probabilities, labels), weights),
    }


def rounded(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """The probabilities to 17 binary, or about 5 decimal, digits.

    An AUC compares rows, and rows are divided by their sums when they are read. What was equal before may differ in the
    last digits of single precision afterwards, which must not count as knowledge.
    """
    mantissa, exponent = np.frexp(probabilities.astype(np.float64))
    return np.ldexp(np.rint(mantissa * 2.0**BITS), exponent - BITS)


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    low, high = metrics.percentile_interval(metrics.weighted_mean(values, weights))
    return Estimate(float(values.mean()), low, high)


@dataclass(frozen=True)
class Confusion:
    """How the captures of every cell were classified."""

    counts: NDArray[np.float64]
    """(N, N): captures of the row's cell that were given to the column's cell; a tie is shared."""

    @classmethod
    def of(cls, probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> "Confusion":
        """The confusion of an answer."""
        best = (probabilities == probabilities.max(axis=1, keepdims=True)).astype(np.float64)
        counts = np.zeros((probabilities.shape[1],) * 2)
        np.add.at(counts, labels, best / best.sum(axis=1, keepdims=True))
        return cls(counts)

    @property
    def captures(self) -> NDArray[np.float64]:
        """(N,): captures of every cell."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def rates(self) -> NDArray[np.float64]:
        """(N, N): the counts with rows that sum to 1, or to 0 where a cell has no capture."""
        return np.asarray(self.counts / np.maximum(self.captures, 1.0)[:, None])


def figures(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> tuple[Figure, ...]:
    """The confusion of cells, the cells that are identified best, and the top-k curve."""
    confusion = Confusion.of(probabilities, labels)
    return _heatmap(confusion), _bars(confusion), _curve(probabilities, labels)


def _heatmap(confusion: Confusion) -> Figure:
    names = [str(cell + 1) for cell in range(len(confusion.counts))]
    values = confusion.rates.round(3).tolist()
    return Figure(
        kind="heatmap",
        title="Confusion of cells",
        x="Cell in the answer",
        y="True cell",
        arrays={"values": values, "rows": names, "columns": names},
        note="Share of each cell's captures that were taken for each cell; the diagonal is what was identified.",
    )


def _bars(confusion: Confusion) -> Figure:
    rates, captures = np.diagonal(confusion.rates), confusion.captures
    seen = np.flatnonzero(captures > 0)
    best = seen[np.lexsort((seen, -captures[seen], -rates[seen]))][:BARS]
    bounds = [metrics.wilson(float(rates[cell] * captures[cell]), int(captures[cell])) for cell in best]
    return Figure(
        kind="bars",
        title="Most identifiable cells",
        x="Cell (identified of captures)",
        y="Share identified",
        arrays={
            "labels": [f"{cell + 1} ({rates[cell] * captures[cell]:.3g} of {captures[cell]:.0f})" for cell in best],
            "values": rates[best].tolist(),
            "low": [low for low, _ in bounds],
            "high": [high for _, high in bounds],
        },
        note="With Wilson's 95 % intervals: few captures per cell say little about one cell.",
    )


def _curve(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Figure:
    classes = probabilities.shape[1]
    ks = list(range(1, min(CURVE, classes) + 1))
    return Figure(
        kind="lines",
        title="Right within k guesses",
        x="Guesses k",
        y="Share of captures",
        arrays={
            "x": [ks, ks],
            "y": [[metrics.top_k_accuracy(probabilities, labels, k) for k in ks], [k / classes for k in ks]],
            "series": ["this answer", "blind guess"],
        },
    )
