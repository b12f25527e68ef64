"""Jobs of the lab: requesting, running in fair order, cancelling, running again, deleting.

The broker carries tickets, not jobs: whoever holds a ticket takes the job that is next in fairness, which is the oldest
one of the person who has the least work running or done lately. So one person's hundred jobs do not starve the others.
"""

import json
import secrets
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from flask import current_app
from sqlalchemy import func, update

from app import experiments, sandbox
from app.errors import Conflict, InvalidParameters, InvalidUpload, NotFound, TooMany
from app.experiments import runner
from app.extensions import db
from app.models import Asset, Job, Status, User, now
from app.parameters import as_json, parse
from app.services import assets, audit, files, queue, work
from app.storage import put_path

FAIR_WINDOW = timedelta(hours=1)
"""Work that a person got within this time counts against their next turn."""


class CancelledError(Exception):
    """The owner asked for the job to stop."""


def request(
    owner: User,
    experiment: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Asset],
    seed: int | None = None,
    sent: Mapping[str, Any] | None = None,
) -> Job:
    """A job in the queue; everything that can be known to be wrong is refused now, all problems at once."""
    card = _card(experiment)
    problems = _input_problems(card, inputs)
    try:
        read: Any = parse(card.load().Parameters, parameters)
    except InvalidParameters as error:
        problems |= error.problems
    if problems:
        raise InvalidParameters(problems)
    if len(waiting(owner)) >= current_app.config["JOBS_PER_USER"]:
        raise TooMany("You have as many unfinished jobs as allowed. Wait for one to finish, or cancel one.")
    job = Job(
        key=uuid4().hex,
        owner_id=owner.id,
        experiment=experiment,
        parameters=as_json(read),
        inputs={name: asset.id for name, asset in inputs.items()},
        request=dict(sent or {}),
        seed=secrets.randbits(62) if seed is None else seed,
        is_heavy=card.is_heavy,
    )
    db.session.add(job)
    audit.record(owner, "job.request", experiment)
    db.session.commit()
    enqueue(job)
    return job


def _card(slug: str) -> experiments.Card:
    try:
        return experiments.card(slug)
    except KeyError as error:
        raise NotFound("There is no such experiment.") from error


def _input_problems(card: experiments.Card, inputs: Mapping[str, Asset]) -> dict[str, str]:
    known = {wanted.name for wanted in card.inputs}
    problems = {name: "is not an input of this experiment" for name in inputs if name not in known}
    for wanted in card.inputs:
        asset = inputs.get(wanted.name)
        if asset is None and wanted.is_required:
            problems[wanted.name] = f"is missing: choose a {wanted.kind}"
        elif asset is not None and asset.kind != wanted.kind:
            problems[wanted.name] = f"must be a {wanted.kind}, not a {asset.kind}"
        elif asset is not None and asset.status is not Status.ACCEPTED:
            problems[wanted.name] = f"cannot be used: its check says {asset.status}"
        elif asset is not None and asset.is_deleted:
            problems[wanted.name] = "has been deleted"
    return problems


def enqueue(job: Job) -> None:
    """Put a ticket for one more job into the queue."""
    queue.enqueue("jobs.work", job.is_heavy, queue=queue.HEAVY if job.is_heavy else queue.QUICK)


def line(is_heavy: bool) -> list[int]:
    """The ids of the waiting jobs in the order in which they will run if nothing else is requested.

    A person's k-th waiting job comes after as many turns as that person has had lately, plus k; the older one first.
    """
    since = now() - FAIR_WINDOW
    served = (
        db.select(Job.owner_id, func.count(Job.id).label("count"))
        .where(Job.is_heavy == is_heavy, Job.started_at >= since)
        .group_by(Job.owner_id)
        .subquery()
    )
    turn = func.row_number().over(partition_by=Job.owner_id, order_by=Job.id)
    waiting = (
        db.select(Job.id, (func.coalesce(served.c.count, 0) + turn).label("turn"))
        .outerjoin(served, served.c.owner_id == Job.owner_id)
        .where(Job.is_heavy == is_heavy, work.claimable(Job, now()))
        .subquery()
    )
    return list(db.session.scalars(db.select(waiting.c.id).order_by(waiting.c.turn, waiting.c.id)))


def next_in_fairness(is_heavy: bool) -> int | None:
    """The id of the job whose turn it is; None when nothing waits."""
    return next(iter(line(is_heavy)), None)


def evaluate(job: Job, key: str) -> None:
    """Run a job in a child process and keep its report."""
    try:
        with files.workspace() as folder:
            report = _run(job, key, folder)
            arrays, _ = put_path(files.store(), folder / runner.ARRAYS)
            kept = {name: _stored(folder / runner.FILES / name) for name in report.pop("files")}
    except CancelledError:
        work.finish(Job, job.id, key, Status.CANCELLED)
    except InvalidUpload as error:
        work.finish(Job, job.id, key, Status.REJECTED, reasons=[reason.to_json() for reason in error.reasons])
    else:
        if work.finish(Job, job.id, key, Status.ACCEPTED, report=report, arrays=arrays, files=kept, look=[]):
            made = _outputs(job, kept)
            db.session.commit()
            for asset in made:
                assets.enqueue(asset)
    db.session.commit()


def _stored(path: Path) -> dict[str, Any]:
    digest, size = put_path(files.store(), path)
    return {"digest": digest, "size": size}


def _outputs(job: Job, kept: Mapping[str, Any]) -> list[Asset]:
    """The files that become their owner's, in the open transaction."""
    card = _card(job.experiment)
    return [
        assets.keep(
            job.owner,
            output.kind,
            job.parameters.get(output.name) or f"{card.title} {job.key[:8]}",
            kept[output.file]["digest"],
            kept[output.file]["size"],
        )
        for output in card.outputs
        if output.file in kept
    ]


def _run(job: Job, key: str, folder: Path) -> dict[str, Any]:
    store = files.store()
    paths = {
        name: str(store.fetch(db.session.get_one(Asset, identity).digest, folder))
        for name, identity in job.inputs.items()
    }
    arguments = {"experiment": job.experiment, "parameters": job.parameters, "inputs": paths, "seed": job.seed}
    note = work.beat(Job, job.id, key)

    def beat(share: float) -> None:
        note(share)
        _look(job.id, folder)
        if db.session.scalar(db.select(Job.is_cancelled).where(Job.id == job.id)):
            raise CancelledError

    seconds = min(work.beat_seconds(), current_app.config["JOB_BEAT_SECONDS"])
    return sandbox.run("app.experiments.runner:run", arguments, folder, files.job_limits(), beat, seconds)


def _look(identity: int, folder: Path) -> None:
    """Keep what the experiment shows of itself; it replaces a file at once, so a reader sees a whole one."""
    path = folder / runner.LOOK
    if path.exists():
        db.session.execute(update(Job).where(Job.id == identity).values(look=json.loads(path.read_text())))
        db.session.commit()


def note_failure(identity: int) -> None:
    """Nothing to tell anybody: the owner sees the state, and admins the log."""


def cancel(user: User, job: Job) -> None:
    """Stop a job: at once while it waits, at its next heartbeat while it runs."""
    if job.status.final:
        raise Conflict("This job is over already.")
    job.is_cancelled = True
    db.session.execute(
        update(Job)
        .where(Job.id == job.id, Job.status == Status.QUEUED)
        .values(status=Status.CANCELLED, finished_at=now())
    )
    audit.record(user, "job.cancel", job.key)
    db.session.commit()


def run_again(user: User, job: Job) -> Job:
    """A new job with the same experiment, parameters, inputs and seed."""
    return request(user, job.experiment, job.parameters, inputs(job), job.seed, job.request)


def inputs(job: Job) -> dict[str, Asset]:
    """The files that a job works on, by the names of the inputs; also those that were deleted since."""
    return {name: db.session.get_one(Asset, identity) for name, identity in job.inputs.items()}


def delete(user: User, job: Job) -> None:
    """Take a job off its owner's list; one that runs is stopped first."""
    if not job.status.final:
        cancel(user, job)
    job.is_deleted = True
    audit.record(user, "job.delete", job.key)
    db.session.commit()


def by_key(key: str, user: User) -> Job:
    """A job of one's own; admins see everybody's."""
    job = db.session.scalar(db.select(Job).where(Job.key == key, Job.is_deleted.is_(False)))
    if job is None or (job.owner_id != user.id and not user.is_admin):
        raise NotFound("There is no such job.")
    return job


def of(
    owner: User, page: int = 1, size: int = 50, experiment: str = "", status: str | Collection[str] = ""
) -> tuple[list[Job], int]:
    """One page of a person's jobs, newest first, and their number; `status` is one state or several."""
    query = db.select(Job).where(Job.owner_id == owner.id, Job.is_deleted.is_(False))
    if experiment:
        query = query.where(Job.experiment == experiment)
    wanted = {status} if isinstance(status, str) else set(status)
    if known := [each for each in Status if each in wanted]:
        query = query.where(Job.status.in_(known))
    total = db.session.scalar(db.select(func.count()).select_from(query.subquery())) or 0
    return list(db.session.scalars(query.order_by(Job.id.desc()).limit(size).offset((page - 1) * size))), total


def waiting(owner: User) -> list[Job]:
    """A person's jobs that are not over."""
    query = db.select(Job).where(Job.owner_id == owner.id, Job.status.in_([Status.QUEUED, Status.RUNNING]))
    return list(db.session.scalars(query))


def position(job: Job) -> int:
    """The place in the line, 1 = next; 0 when it does not wait."""
    if job.status is not Status.QUEUED:
        return 0
    waiting = line(job.is_heavy)
    return waiting.index(job.id) + 1 if job.id in waiting else 0


def seconds_left(job: Job) -> float | None:
    """An estimate from the progress so far; None while nothing can be said."""
    if job.status is not Status.RUNNING or job.started_at is None or job.progress <= 0.02:
        return None
    spent = (now() - job.started_at).total_seconds()
    return spent * (1 - job.progress) / job.progress


def file(job: Job, name: str, folder: Path) -> Path:
    """A local copy of one of the report's files."""
    if name not in job.files:
        raise NotFound("This job has no such file.")
    return files.store().fetch(job.files[name]["digest"], folder)


def arrays(job: Job, folder: Path) -> Path:
    """A local file with the report's arrays."""
    if not job.arrays:
        raise NotFound("This job has no arrays.")
    return files.store().fetch(job.arrays, folder)
