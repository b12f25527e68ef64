"""The house's adversaries, run on every accepted defence."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import current_app
from sqlalchemy import func
from sqlalchemy.orm import joinedload

from app import sandbox
from app.errors import Conflict, InvalidUpload, NotFound
from app.extensions import db
from app.models import Defence, ReferenceResult, Round, Status, User, now
from app.services import audit, files, places, queue, rounds, scores, work
from app.services.memo import Memo

_memo = Memo()


@dataclass(frozen=True)
class AdversaryCard:
    """How an adversary of the house is presented."""

    title: str
    source: str
    parameters: tuple[dict[str, Any], ...] = ()
    """name, value, help and unit of each."""


def plan(defence: Defence) -> list[ReferenceResult]:
    """One queued row per adversary, in the open transaction; an earlier result is computed again."""
    existing = {row.adversary: row for row in defence.references}
    planned = []
    for place, adversary in enumerate(rounds.track(defence.round).adversaries()):
        row = existing.get(adversary) or ReferenceResult(defence_id=defence.id, adversary=adversary)
        row.place = place
        row.status, row.tries, row.claim, row.enqueued_at = Status.QUEUED, 0, "", now()
        db.session.add(row)
        planned.append(row)
    db.session.flush()
    return planned


def enqueue(rows: Sequence[ReferenceResult]) -> None:
    """Put a ticket for each of these committed rows into the queue; see `next_in_line`."""
    for row in rows:
        enqueue_one(row)


def enqueue_one(row: ReferenceResult) -> None:
    """Put a ticket for one more row into the queue."""
    queue.enqueue("references.play", queue=queue.EVALUATION)


def next_in_line() -> int | None:
    """The row whose turn it is: the cheapest adversaries of all defences first, so that no network delays a forest."""
    query = db.select(ReferenceResult.id).where(work.claimable(ReferenceResult, now()))
    return db.session.scalar(query.order_by(ReferenceResult.place, ReferenceResult.id).limit(1))


def evaluate(row: ReferenceResult, key: str) -> None:
    """Let one adversary answer one challenge, and score the answer as a team's."""
    defence = row.defence
    with files.workspace() as folder:
        store = files.store()
        arguments = {
            "place": places.place(defence.round, defence.team_id, folder),
            "adversary": row.adversary,
            "seed": defence.seed,
            "halves": {
                "public": str(store.fetch(defence.public, folder)),
                "secret": str(store.fetch(defence.secret, folder)),
            },
        }
        beat = work.beat(ReferenceResult, row.id, key)
        try:
            result = sandbox.run(
                "app.tracks.referee:play_adversary",
                arguments,
                folder,
                files.adversary_limits(),
                beat,
                work.beat_seconds(),
            )
        except InvalidUpload as error:
            # The house's own answer cannot be the submitter's fault.
            raise sandbox.SandboxError(str(error)) from error
    work.finish(
        ReferenceResult, row.id, key, Status.ACCEPTED,
        leakage=result["value"], metrics=result["metrics"], figures=result["figures"],
        replicates=scores.pack(result["replicates"]), seconds=result["seconds"], device=result["device"],
    )  # fmt: skip
    db.session.commit()


def note_failure(identity: int) -> None:
    """Nothing to tell anybody: the defence is accepted, and admins see the row."""


def play_again(admin: User, defence: Defence) -> None:
    """Run every adversary on a defence again."""
    planned = plan(defence)
    audit.record(admin, "reference.play_again", f"defence {defence.id}")
    db.session.commit()
    enqueue(planned)


def worst(defence: Defence) -> ReferenceResult | None:
    """The adversary that learns most."""
    scored = [row for row in defence.references if row.leakage is not None]
    return max(scored, key=lambda row: row.leakage or 0.0, default=None)


def cards(track: str, row: Round | None = None) -> Mapping[str, AdversaryCard]:
    """The adversaries of a track, or of a round of it, by slug, the cheapest first; empty while they cannot be asked.

    A child process is asked once, because adversaries load libraries that the web processes do without.
    """
    try:
        settings, kind = (row.track_settings, row.data.kind if row.data else "") if row else ({}, "")
        asked = {"track": track, "settings": settings, "kind": kind}
        known: dict[str, AdversaryCard] = _memo.get(json.dumps(asked), math.inf, lambda: _described(asked))
    except (sandbox.SandboxError, InvalidUpload):
        current_app.logger.exception("The adversaries of %s cannot be described", track)
        return {}
    return known


def _described(asked: dict[str, Any]) -> dict[str, AdversaryCard]:
    with files.workspace() as folder:
        told = sandbox.run("app.tracks.referee:describe_adversaries", asked, folder, files.check_limits())
    return {
        slug: AdversaryCard(card["title"], card["source"], tuple(card["parameters"])) for slug, card in told.items()
    }


def leakage(row: ReferenceResult) -> dict[str, float | None]:
    """What an adversary learnt, as an estimate: value with the 95 % interval of its bootstrap, where it has one."""
    replicates = scores.unpack(row.replicates)
    if row.leakage is None or replicates is None:
        return {"value": row.leakage, "low": None, "high": None}
    low, high = np.quantile(replicates, [0.025, 0.975]).tolist()
    return {"value": row.leakage, "low": low, "high": high}


def named(defence: Defence, adversary: str) -> ReferenceResult:
    """One adversary's result against a defence."""
    found = next((row for row in defence.references if row.adversary == adversary), None)
    if found is None:
        raise NotFound("The house has not played this adversary against this defence.")
    return found


def one(identity: int) -> ReferenceResult:
    """A result by its id."""
    row = db.session.get(ReferenceResult, identity)
    if row is None:
        raise NotFound("There is no such result.")
    return row


def everything(
    page: int, size: int = 50, row: Round | None = None, status: str = ""
) -> tuple[list[ReferenceResult], int]:
    """One page of all results, newest first, and their number."""
    query = db.select(ReferenceResult).order_by(ReferenceResult.id.desc())
    if row is not None:
        query = query.join(Defence, Defence.id == ReferenceResult.defence_id).where(Defence.round_id == row.id)
    if status in set(Status):
        query = query.where(ReferenceResult.status == Status(status))
    total = db.session.scalar(db.select(func.count()).select_from(query.order_by(None).subquery())) or 0
    with_names = joinedload(ReferenceResult.defence).options(joinedload(Defence.team), joinedload(Defence.round))
    return list(db.session.scalars(query.options(with_names).limit(size).offset((page - 1) * size))), total


def failed() -> list[ReferenceResult]:
    """Every result that was tried in vain."""
    query = db.select(ReferenceResult).where(ReferenceResult.status == Status.FAILED)
    return list(db.session.scalars(query.order_by(ReferenceResult.id)))


def requeue(admin: User, rows: Sequence[ReferenceResult]) -> int:
    """Play these adversaries again; how many they are. Refuses while one of them is playing."""
    if not all(row.status.final for row in rows):
        raise Conflict("This adversary is playing already.")
    for row in rows:
        row.status, row.tries, row.claim = Status.QUEUED, 0, ""
        row.finished_at, row.enqueued_at = None, now()
    audit.record(admin, "reference.requeue", ", ".join(f"result {row.id}" for row in rows[:8]), results=len(rows))
    db.session.commit()
    enqueue(list(rows))
    return len(rows)
