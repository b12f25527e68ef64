"""The audit log of every admin and account action."""

from typing import Any

from sqlalchemy import or_
from sqlalchemy.orm import joinedload

from app.extensions import db
from app.models import AuditEntry, User


def record(actor: User | None, action: str, subject: str = "", **details: Any) -> None:
    """Add an entry to the open transaction; the use case that acts commits both or neither."""
    db.session.add(
        AuditEntry(actor_id=actor.id if actor else None, action=action, subject=subject[:120], details=details)
    )


def entries(page: int, size: int = 50, action: str = "", search: str = "") -> tuple[list[AuditEntry], int]:
    """One page of the log, newest first, and the number of entries in total.

    `action` is an action or its first word; `search` is a part of the actor's name or of the subject.
    """
    query = db.select(AuditEntry).order_by(AuditEntry.id.desc()).options(joinedload(AuditEntry.actor))
    if action:
        query = query.where(AuditEntry.action.startswith(action, autoescape=True))
    if search:
        actors = db.select(User.id).where(User.username.icontains(search, autoescape=True))
        in_subject = AuditEntry.subject.icontains(search, autoescape=True)
        query = query.where(or_(in_subject, AuditEntry.actor_id.in_(actors)))
    total = db.session.scalar(db.select(db.func.count()).select_from(query.order_by(None).subquery())) or 0
    return list(db.session.scalars(query.limit(size).offset((page - 1) * size))), total


def actions() -> list[str]:
    """Every action that the log knows, by name."""
    return list(db.session.scalars(db.select(AuditEntry.action).distinct().order_by(AuditEntry.action)))


def about(user: User, limit: int = 20) -> list[AuditEntry]:
    """The newest entries that a person made or is the subject of."""
    mine = or_(AuditEntry.actor_id == user.id, AuditEntry.subject == user.username)
    query = db.select(AuditEntry).where(mine).options(joinedload(AuditEntry.actor))
    return list(db.session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)))
