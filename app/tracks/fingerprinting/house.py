"""The defences that the house plays: published protections on a team's undefended captures, or on simulated ones."""

import numpy as np

from app.defences.traces import DEFENCES
from app.defences.traces.simulator import simulate
from app.traces import Traces
from app.tracks.base import Bundle
from app.tracks.fingerprinting.settings import Settings

UNDEFENDED = "undefended"
NAMES = (UNDEFENDED, *DEFENCES)
"""The undefended example first, the strongest defence last."""


def defence(name: str, rng: np.random.Generator, settings: Settings, base: Bundle | None = None) -> Bundle:
    """The captures of `base`, or as many simulated ones as the settings want, under the defence `name`.

    Raises ValueError for a name that is not in NAMES.
    """
    if name not in NAMES:
        raise ValueError(f"{name!r} is not one of {', '.join(NAMES)}")
    undefended = simulated(rng, settings) if base is None else base
    if name == UNDEFENDED:
        return undefended
    protected = DEFENCES[name]().protect(Traces.from_bundle(undefended), undefended["cell"].astype(np.int32), rng)
    return {**undefended, **protected.to_bundle()}


def simulated(rng: np.random.Generator, settings: Settings) -> Bundle:
    """Simulated undefended captures of every cell, with an allowed number of repetitions each."""
    spread = min(settings.DEVIATION_NB_REP_PER_CLASS - 1, 2)
    mean = settings.MEAN_NB_REP_PER_CLASS
    traces, cell, rep = simulate(settings.NB_CLASSES, (max(2, mean - spread), mean + spread), rng)
    return {**traces.to_bundle(), "cell": cell, "rep": rep}
