"""What a round has issued to a team."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Table
from app.models.types import Moment, now


class Issue(Table):
    """The files that a round issued to a team before it defended, as one zip; made once, so that they stay the same."""

    __table_args__ = (UniqueConstraint("round_id", "team_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), index=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
