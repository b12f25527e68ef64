"""Teams."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, now

if TYPE_CHECKING:
    from app.models.membership import Membership


class Team(Table):
    """A team of people, or the house, which plays reference defences."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    is_house: Mapped[bool] = mapped_column(default=False)
    is_open: Mapped[bool] = mapped_column(default=True)
    """Whether anybody may join while there is a seat; otherwise only by invite link."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)

    memberships: Mapped[list["Membership"]] = relationship(back_populates="team", order_by="Membership.joined_at")
