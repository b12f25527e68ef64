"""Small rounds of gradient leakage."""

import functools

import numpy as np

from app.tracks.base import Seat
from app.tracks.gradient_leakage.game import GradientLeakage
from app.tracks.gradient_leakage.settings import Settings

SEAT = Seat(round=5, team=7)
SMALL = Settings(MODEL="fc2", BATCHES=3, RECORDS=2)


def track(seat=SEAT, data=None, **settings):
    return GradientLeakage(Settings(**{"MODEL": "fc2", "BATCHES": 3, "RECORDS": 2, **settings}), seat, data)


@functools.cache
def truth():
    return track().house_defence("undefended", np.random.default_rng(0))


@functools.cache
def challenge(seed=1):
    return track().challenge(truth(), np.random.default_rng(seed))
