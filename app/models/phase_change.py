"""When a round changes its phase: history and schedule in one table."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, Word, now
from app.rules.phases import Phase

if TYPE_CHECKING:
    from app.models.round import Round


class PhaseChange(Table):
    """From `at` on the round is in `phase`; the latest change that is not in the future holds."""

    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), index=True)
    phase: Mapped[Phase] = mapped_column(Word(Phase))
    at: Mapped[datetime] = mapped_column(Moment, index=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    announced_at: Mapped[datetime | None] = mapped_column(Moment)

    round: Mapped["Round"] = relationship(back_populates="changes")
