"""The audit log of every admin and account action."""

from typing import Any

from app.extensions import db
from app.models import AuditEntry, User


def record(actor: User | None, action: str, subject: str = "", **details: Any) -> None:
    """Add an entry to the open transaction; the use case that acts commits both or neither."""
    db.session.add(
        AuditEntry(actor_id=actor.id if actor else None, action=action, subject=subject[:120], details=details)
    )


def entries(page: int, size: int = 50, action: str = "") -> tuple[list[AuditEntry], int]:
    """One page of the log, newest first, and the number of entries in total."""
    query = db.select(AuditEntry).order_by(AuditEntry.id.desc())
    if action:
        query = query.where(AuditEntry.action.startswith(action))
    total = db.session.scalar(db.select(db.func.count()).select_from(query.order_by(None).subquery())) or 0
    return list(db.session.scalars(query.limit(size).offset((page - 1) * size))), total
