"""Who was in which team, and when."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, now

if TYPE_CHECKING:
    from app.models.team import Team
    from app.models.user import User

CURRENT = text("left_at IS NULL")


class Membership(Table):
    """One person's time in one team; current while `left_at` is empty.

    The database itself forbids two current teams of a person and two current holders of a seat,
    so that two people who join in the same moment cannot overfill a team. The lowest seat is the captain's.
    """

    __table_args__ = (
        Index("ix_membership_current_user", "user_id", unique=True, sqlite_where=CURRENT, postgresql_where=CURRENT),
        Index(
            "ix_membership_current_seat", "team_id", "seat", unique=True, sqlite_where=CURRENT, postgresql_where=CURRENT
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    seat: Mapped[int]
    joined_at: Mapped[datetime] = mapped_column(Moment, default=now)
    left_at: Mapped[datetime | None] = mapped_column(Moment)

    user: Mapped["User"] = relationship(back_populates="memberships")
    team: Mapped["Team"] = relationship(back_populates="memberships")
