"""Closer looks at what a job of the lab has left."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app import experiments
from app.errors import Conflict, NotFound
from app.experiments.base import Axis
from app.models import Job, Status
from app.reports import Figure
from app.services import files, jobs


@dataclass(frozen=True)
class Look:
    """What can be chosen, what was chosen, and what there is to see."""

    axes: tuple[Axis, ...]
    place: tuple[int, ...]
    """The place of the chosen label, for each axis; empty if nothing was kept for a closer look."""
    figures: tuple[Figure, ...]


def is_possible(job: Job) -> bool:
    """Whether the experiment of a finished job offers closer looks."""
    known = {card.slug: card for card in experiments.CARDS}
    is_done = job.status is Status.ACCEPTED and bool(job.arrays)
    return is_done and job.experiment in known and known[job.experiment].load().is_inspectable


def look(job: Job, wanted: Mapping[str, int]) -> Look:
    """A closer look at the wanted place of each axis, or at its default."""
    if not is_possible(job):
        raise Conflict("This job has nothing for a closer look.")
    experiment = experiments.card(job.experiment).load()
    # The archive reads only those arrays that are asked for.
    with files.workspace() as folder, np.load(jobs.arrays(job, folder), allow_pickle=False) as arrays:
        axes = experiment.axes(arrays)
        place = tuple(wanted.get(axis.name, axis.default) for axis in axes)
        if any(not 0 <= at < len(axis.labels) for at, axis in zip(place, axes, strict=True)):
            raise NotFound("This was not kept for a closer look.")
        return Look(axes, place, experiment.inspect(arrays, place) if axes else ())
