"""Claiming, beating and finishing the rows that workers evaluate.

A row is evaluated by the one try whose claim it holds: a task that the broker delivers twice, or a worker that
comes back from the dead, finds another claim (or a final state) and changes nothing, so a result appears exactly once.
"""

import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from flask import current_app
from sqlalchemy import ColumnElement, and_, or_, update

from app.extensions import db
from app.models import Status, Work, now

Row = TypeVar("Row", bound=Work)


def claim(table: type[Row], identity: int) -> tuple[Row, str] | None:
    """The row with a fresh claim on it; None if it is done, alive in another worker, or has used up its tries."""
    key, moment = uuid4().hex, now()
    claimed = db.session.execute(
        update(table)
        .where(table.id == identity, claimable(table, moment))  # type: ignore[attr-defined]
        .values(
            status=Status.RUNNING, claim=key, tries=table.tries + 1, started_at=moment, heartbeat_at=moment, progress=0
        )
    )
    db.session.commit()
    if not claimed.rowcount:  # type: ignore[attr-defined]
        return None
    row = db.session.get_one(table, identity, populate_existing=True)
    return row, key


def beat(table: type[Row], identity: int, key: str) -> Callable[[float], None]:
    """A function that notes the progress and that the claim's worker is alive."""

    def note(share: float) -> None:
        _update(table, identity, key, heartbeat_at=now(), progress=share)
        db.session.commit()

    return note


def finish(table: type[Row], identity: int, key: str, status: Status, **values: Any) -> bool:
    """Set the final state in the open transaction; False if the claim was lost, and nothing may be written then."""
    moment = now()
    return _update(table, identity, key, status=status, finished_at=moment, heartbeat_at=moment, progress=1.0, **values)


def fail(table: type[Row], identity: int, key: str) -> Status | None:
    """Note the exception that is being handled, and commit: back into the queue, or `failed` after the last try.

    None if another try has taken the row over.
    """
    db.session.rollback()
    row = db.session.get_one(table, identity, populate_existing=True)
    last = row.tries >= current_app.config["MAX_TRIES"]
    status = Status.FAILED if last else Status.QUEUED
    moment = now()
    log = f"{row.log}\n--- try {row.tries}, {moment:%Y-%m-%d %H:%M:%S} UTC\n{traceback.format_exc()}"[-20_000:]
    held = _update(
        table,
        identity,
        key,
        status=status,
        log=log,
        heartbeat_at=moment,
        enqueued_at=moment,
        finished_at=moment if last else None,
    )
    db.session.commit()
    return status if held else None


def _update(table: type[Row], identity: int, key: str, **values: Any) -> bool:
    changed = db.session.execute(
        update(table)
        .where(table.id == identity, table.claim == key, table.status == Status.RUNNING)  # type: ignore[attr-defined]
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(changed.rowcount)  # type: ignore[attr-defined]


def give_up(table: type[Row]) -> list[int]:
    """Fail the rows whose last try took its worker down with it; their ids. The caller tells whom it concerns."""
    moment = now()
    worn_out = and_(silent(table, moment), table.tries >= current_app.config["MAX_TRIES"])
    rows = list(db.session.scalars(db.select(table).where(worn_out).order_by(table.id)))  # type: ignore[attr-defined]
    for row in rows:
        row.status, row.claim, row.finished_at = Status.FAILED, "", moment
        row.log = f"{row.log}\n--- try {row.tries}, {moment:%Y-%m-%d %H:%M:%S} UTC\nThe worker died or hung."[-20_000:]
    db.session.commit()
    return [row.id for row in rows]  # type: ignore[attr-defined]


def claimable(table: type[Row], moment: datetime) -> ColumnElement[bool]:
    """Waiting, or orphaned with a try left."""
    left = table.tries < current_app.config["MAX_TRIES"]
    return or_(table.status == Status.QUEUED, and_(silent(table, moment), left))


def silent(table: type[Row], moment: datetime) -> ColumnElement[bool]:
    """Being evaluated by a worker that has not said for a while that it is alive."""
    stale = moment - timedelta(seconds=current_app.config["STALE_SECONDS"])
    return and_(table.status == Status.RUNNING, table.heartbeat_at < stale)


def lost(table: type[Row], queue_is_empty: bool) -> list[Row]:
    """Rows that the broker or a worker lost, marked as enqueued anew; the caller commits and enqueues them.

    A row is lost when it waits although its queue is empty, or when its worker's heart has stopped. A queue that is
    not empty may still hold its message, so there it is given an hour.
    """
    moment = now()
    stale = moment - timedelta(seconds=current_app.config["STALE_SECONDS"])
    patience = timedelta(seconds=5) if queue_is_empty else timedelta(hours=1)
    waiting = and_(table.status == Status.QUEUED, table.enqueued_at < moment - patience)
    orphaned = and_(silent(table, moment), table.enqueued_at < stale)
    rows = list(db.session.scalars(db.select(table).where(or_(waiting, orphaned)).order_by(table.id)))  # type: ignore[attr-defined]
    for row in rows:
        row.enqueued_at = moment
    return rows


def beat_seconds() -> float:
    """How often a worker says that it is alive."""
    return float(current_app.config["HEARTBEAT_SECONDS"])
