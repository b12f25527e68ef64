"""Scored attacks."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, now

if TYPE_CHECKING:
    from app.models.match import Match
    from app.models.upload import Upload


class Attack(Table):
    """The part of one uploaded answer that belongs to one match, with its leakage."""

    __table_args__ = (UniqueConstraint("upload_id", "match_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("upload.id"), index=True)
    match_id: Mapped[int] = mapped_column(ForeignKey("match.id"), index=True)
    leakage: Mapped[float]
    classic: Mapped[float]
    """The attack's result on the classic scale of 0 to 10."""
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON)
    figures: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """What the attacker may see as pictures."""
    replicates: Mapped[bytes] = mapped_column(default=b"")
    """float32 bootstrap replicates of `leakage`."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)

    upload: Mapped["Upload"] = relationship()
    match: Mapped["Match"] = relationship(back_populates="attacks")
