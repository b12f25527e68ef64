"""What the teaching staff has to know at a glance."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func

from app.extensions import db
from app.models import Defence, Mail, MailStatus, Match, ReferenceResult, Round, Status, Team, Upload, User, now
from app.services import queue, site, sweeping, teams

QUEUES = (queue.CHECKS, queue.EVALUATION, queue.MAIL)


@dataclass(frozen=True)
class Overview:
    """How things stand: work that waits, work that failed, and how much there is of everything."""

    depths: dict[str, int | None]
    """Messages in each queue of the broker; None when it does not answer."""
    uploads: dict[Status, int]
    references: dict[Status, int]
    mails: dict[MailStatus, int]
    people: int
    without_team: int
    teams: int
    defending: int
    """Teams with an accepted defence in the current round."""
    matches: int
    last_sweep: datetime | None
    sweep_age: float | None
    """Seconds since the last sweep."""
    registration_open: bool
    team_lock: datetime | None


def now_standing(row: Round | None) -> Overview:
    """How things stand; what belongs to a round is counted for this one."""
    swept = site.last_sweep()
    return Overview(
        depths=_depths(),
        uploads=_by_status(Upload, Status),
        references=_by_status(ReferenceResult, Status),
        mails=_by_status(Mail, MailStatus),
        people=_count(db.select(func.count(User.id)).where(User.is_admin.is_(False))),
        without_team=len(teams.without_team()),
        teams=_count(db.select(func.count(Team.id)).where(Team.is_house.is_(False))),
        defending=_defending(row) if row else 0,
        matches=_count(db.select(func.count(Match.id)).where(Match.round_id == row.id)) if row else 0,
        last_sweep=swept,
        sweep_age=(now() - swept).total_seconds() if swept else None,
        registration_open=site.registration_open(),
        team_lock=site.team_lock(),
    )


def _depths() -> dict[str, int | None]:
    depths: dict[str, int | None] = dict.fromkeys(QUEUES)
    for name in QUEUES:
        depths[name] = sweeping.depth(name)
        if depths[name] is None:
            # The broker is away, and asking again would take as long again.
            break
    return depths


def _by_status(table: Any, words: Any) -> dict[Any, int]:
    rows = db.session.execute(db.select(table.status, func.count()).group_by(table.status))
    counted: dict[Any, int] = {status: count for status, count in rows}  # noqa: C416 (A Row is no pair for mypy.)
    return {word: counted.get(word, 0) for word in words}


def _count(query: Any) -> int:
    return db.session.scalar(query) or 0


def _defending(row: Round) -> int:
    query = db.select(func.count(func.distinct(Defence.team_id))).join(Team, Team.id == Defence.team_id)
    return _count(query.where(Defence.round_id == row.id, Team.is_house.is_(False)))
