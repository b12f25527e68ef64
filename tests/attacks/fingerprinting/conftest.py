"""Small generated captures: every class has its own pattern of bursts, every capture its own noise."""

from dataclasses import dataclass

import numpy as np
import pytest

from app.traces import Traces

CLASSES, BURSTS = 8, 24


@dataclass(frozen=True)
class Site:
    """Captures to learn from and captures to recognise."""

    train: Traces
    labels: np.ndarray
    test: Traces
    answers: np.ndarray


def visits(patterns, labels, rng):
    """One capture per label: its pattern with one packet more or less per burst, and random gaps."""
    sizes, times = [], []
    for label in labels:
        packets = np.maximum(1, patterns[label] + rng.integers(-1, 2, BURSTS))
        sign = np.repeat(np.where(np.arange(BURSTS) % 2, -1, 1), packets)
        sizes.append(sign * np.where(rng.random(len(sign)) < 0.8, 576, 1086))
        times.append(np.concatenate([[0.0], np.cumsum(rng.exponential(0.01, len(sign) - 1))]))
    return Traces.from_captures(sizes, times)


@pytest.fixture(scope="package")
def site():
    rng = np.random.default_rng(7)
    patterns = rng.integers(1, 16, (CLASSES, BURSTS))
    labels = np.repeat(np.arange(CLASSES, dtype=np.int32), 2 * CLASSES)
    answers = np.repeat(np.arange(CLASSES, dtype=np.int32), 10)
    return Site(visits(patterns, labels, rng), labels, visits(patterns, answers, rng), answers)


@pytest.fixture(scope="package")
def odd():
    """What real and hostile captures look like at the edges; no capture is empty."""
    rng = np.random.default_rng(8)
    long = np.where(rng.random(34_992) < 0.2, 576, -1500)
    pairs = [
        ([576], [0.0]),
        ([-1500], [0.0]),
        ([576] * 30, np.arange(30) / 10),
        ([-1] * 47, np.arange(47) / 7),
        ([576, -1500, -40, 576], [0.0] * 4),
        ([576, -1500, -1500, 60, -1500], [0.0, 0.5, 0.4999, 0.2, 900.0]),
        ([576, -1500, 60], [0.0, -0.5, -0.25]),
        ([0, -1500, 0, 60], [0.0, 0.1, 0.2, 0.3]),
        (np.tile([1, -1], 60), np.arange(120) / 50),
        (long, np.cumsum(rng.exponential(0.002, len(long)))),
    ]
    return Traces.from_captures([np.array(size) for size, _ in pairs], [np.array(time) for _, time in pairs])
