"""What the referee measures: how useful a protected update is, how near a reconstruction comes. Loads torch."""

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call
from torch.nn import functional

from app import metrics, reconstruction_metrics
from app.bundles import Bundle
from app.reconstruction_metrics import Floats
from app.tracks.base import Estimate, Score
from app.tracks.gradient_leakage import clients, common_knowledge, figures, records
from app.tracks.gradient_leakage.clients import Place

REPLICATES = 200
DOUBLINGS = 10
"""Steps of the server that are tried: once, twice, four times, … the learning rate."""
RECOGNISABLE = 20.0
"""The PSNR in dB above which a reconstruction counts as recognisable."""


def utility(place: Place, defence: Bundle) -> Score:
    """The product of two shares: news kept, and loss taken away; 1 for the true updates.

    News kept: the cosine between the update and the true one, both without their part along what clients with public
    records of the same labels share on average; averaged over the batches, at least 0. Loss taken away: how much a step
    of the server along the mean update lowers the loss on held-out records, divided by how much the same step along
    the mean true update does, within
    [0, 1]. The step is the one that is best for the truth.
    """
    truth = clients.truth(place)
    given, honest, known = _flat(defence), _flat(truth), _flat(common_knowledge.common(place))
    news = cosines(without(given, known), without(honest, known))
    kept = float(np.clip(news.mean(), 0.0, 1.0))
    server = Server(place)
    rate, reachable = server.best_step(truth)
    decrease = server.decrease(defence, rate)
    # Where not even the truth helps, as with few records, loss says nothing and news decide alone.
    share = float(np.clip(decrease / reachable, 0.0, 1.0)) if reachable > 0.0 else 1.0
    return Score(
        value=kept * share,
        metrics={
            "news": Estimate(float(news.mean())),
            "cosine": Estimate(float(cosines(given, honest).mean())),
            "loss_decrease": Estimate(decrease),
            "loss_share": Estimate(share),
        },
        figures=(figures.bars(news, "News kept by batch", "Cosine"),),
    )


def without(vectors: Floats, directions: Floats) -> Floats:
    """(K, D): the part of each row that is orthogonal to the row of `directions`."""
    squares = np.square(directions).sum(axis=1, keepdims=True)
    along = (vectors * directions).sum(axis=1, keepdims=True) / np.where(squares > 0, squares, 1.0)
    rest = vectors - along * directions
    # What rounding leaves of a row along the direction itself is nothing.
    noise = 1e-6 * np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(np.linalg.norm(rest, axis=1, keepdims=True) > noise, rest, 0.0)


def cosines(first: Floats, second: Floats) -> Floats:
    """(K,): the cosine of the angle between rows (K, D); 0 where one of the two is 0."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    found: Floats = (first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
    return np.clip(found, -1.0, 1.0)


class Server:
    """Applies the mean of what clients share, and tries the result on held-out records."""

    def __init__(self, place: Place) -> None:
        """The server of a round, with the issued weights in double precision."""
        held_out = records.parts(place.settings, place.seat, place.data).held_out
        self._network = clients.model(place)
        self._weights = {name: values.double() for name, values in self._network.named_parameters()}
        self._inputs, self._labels = torch.tensor(held_out.inputs).double(), torch.tensor(held_out.labels)
        # A client that shares an update has applied the learning rate already.
        self._rate = place.settings.LEARNING_RATE if place.settings.SHARED == "gradient" else 1.0
        self._before = self._loss(self._weights)

    def best_step(self, truth: Bundle) -> tuple[float, float]:
        """The step along the mean true update that lowers the loss most, and by how much."""
        rates = [self._rate * 2.0**doubling for doubling in range(DOUBLINGS)]
        decreases = [self.decrease(truth, rate) for rate in rates]
        best = int(np.argmax(decreases))
        return rates[best], decreases[best]

    def decrease(self, update: Bundle, rate: float) -> float:
        """How much the loss falls when the server takes a step along the mean of the updates (K, ...)."""
        moved = {
            name: values - rate * torch.tensor(update[name]).double().mean(0) for name, values in self._weights.items()
        }
        after = self._loss(moved)
        # An update that breaks the model is as bad as any other that does.
        return self._before - (after if np.isfinite(after) else float(np.finfo(np.float32).max))

    def _loss(self, weights: dict[str, torch.Tensor]) -> float:
        logits = functional_call(self._network, weights, (self._inputs,))
        return float(functional.cross_entropy(logits, self._labels))


def leakage(answer: Bundle, secret: Bundle) -> Score:
    """1 - error / error of the best blind guess, after matching within each batch, at least 0.

    The resamples are drawn from the records of the secret, so replicate b of every answer to one challenge is about the
    same records.
    """
    true, labels = secret["inputs"], secret["labels"]
    found = reconstruction_metrics.match(answer["inputs"], true).inputs
    errors, blind = reconstruction_metrics.mse(found, true).ravel(), secret["blind"].ravel()
    quality = reconstruction_metrics.psnr(errors)
    indices = _resamples(secret)
    weights = metrics.multiplicities(indices)
    flat, originals = (part.reshape(-1, *true.shape[2:]) for part in (found, true))
    return Score(
        value=float(gain(errors.sum(), blind.sum())),
        metrics={
            **_record_metrics(errors, quality, indices),
            **_similarities(found, secret, indices),
            "label_accuracy": _label_accuracy(answer.get("labels"), labels),
        },
        replicates=gain(weights @ errors, weights @ blind),
        figures=(
            figures.beside(flat, originals, labels.ravel(), quality),
            figures.survival(quality, reconstruction_metrics.psnr(blind)),
        ),
        attacker_figures=(figures.alone(answer["inputs"]),),
    )


def gain(errors: Floats, blind: Floats) -> Floats:
    """1 - errors / blind within [0, 1]."""
    return np.clip(1.0 - errors / np.maximum(blind, np.finfo(np.float64).tiny), 0.0, 1.0)


def _record_metrics(errors: Floats, quality: Floats, indices: NDArray[np.int64]) -> dict[str, Estimate]:
    middle = metrics.percentile_interval(np.median(quality[indices], axis=1))
    recognised = quality > RECOGNISABLE
    return {
        "mse": _mean(errors, indices),
        "psnr_mean": _mean(quality, indices),
        "psnr_median": Estimate(float(np.median(quality)), *middle),
        "psnr_min": Estimate(float(quality.min())),
        "above_20": Estimate(float(recognised.mean()), *metrics.wilson(float(recognised.sum()), len(recognised))),
    }


def _similarities(found: NDArray, secret: Bundle, indices: NDArray[np.int64]) -> dict[str, Estimate]:
    true, labels = secret["inputs"], secret["labels"]
    hits = reconstruction_metrics.identified(found, true, labels, secret["others"], secret["other_labels"]).ravel()
    return {
        "ssim": _mean(reconstruction_metrics.ssim(found, true).ravel(), indices),
        "identified": Estimate(float(hits.mean()), *metrics.wilson(float(hits.sum()), len(hits))),
    }


def _label_accuracy(found: NDArray | None, true: NDArray) -> Estimate:
    if found is None:
        return Estimate(0.0)
    return Estimate(float(reconstruction_metrics.label_accuracy(found, true).mean()))


def _mean(values: Floats, indices: NDArray[np.int64]) -> Estimate:
    return Estimate(float(values.mean()), *reconstruction_metrics.interval(values, indices))


def _resamples(secret: Bundle) -> NDArray[np.int64]:
    seed = [zlib.crc32(np.ascontiguousarray(secret[name]).tobytes()) for name in ("inputs", "labels")]
    return metrics.resamples(secret["labels"].size, REPLICATES, np.random.default_rng(seed))


def _flat(update: Bundle) -> Floats:
    """(K, D) numbers in double precision."""
    return np.concatenate([np.asarray(values, np.float64).reshape(len(values), -1) for values in update.values()], 1)
