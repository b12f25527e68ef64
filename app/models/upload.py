"""Files that people handed in."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, UploadKind, Word
from app.models.work import Work

if TYPE_CHECKING:
    from app.models.round import Round
    from app.models.team import Team
    from app.models.user import User


class Upload(Work, Table):
    """One uploaded file; nothing is overwritten, so the table is the history."""

    # Of two requests with one key that arrive in the same moment, the database lets one through.
    __table_args__ = (Index("ix_upload_idempotency", "user_id", "idempotency_key", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[UploadKind] = mapped_column(Word(UploadKind), index=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    filename: Mapped[str] = mapped_column(String(255))
    """As the browser named it; shown, never used as a path."""
    digest: Mapped[str] = mapped_column(String(64))
    size: Mapped[int]
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    is_refunded: Mapped[bool] = mapped_column(default=False)
    """Does not count against the team's upload limits."""
    chosen_at: Mapped[datetime | None] = mapped_column(Moment)
    """When the team chose this attack to count, in rounds where the team chooses."""
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    """The sender's name for this upload: sending it again is the same upload, not a second one."""

    team: Mapped["Team"] = relationship()
    round: Mapped["Round"] = relationship()
    user: Mapped["User | None"] = relationship()
