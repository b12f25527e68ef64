"""People."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, now

if TYPE_CHECKING:
    from app.models.membership import Membership


class User(Table):
    """A person who can log in."""

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    sciper: Mapped[int | None] = mapped_column(unique=True)
    is_admin: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    verified_at: Mapped[datetime | None] = mapped_column(Moment)
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None] = mapped_column(Moment)
    session_key: Mapped[str] = mapped_column(String(32), default="")
    """Part of the session's identity: changing it logs the person out everywhere."""

    memberships: Mapped[list["Membership"]] = relationship(back_populates="user", order_by="Membership.joined_at")

    is_authenticated = True
    is_anonymous = False

    def get_id(self) -> str:
        """What the session cookie holds."""
        return f"{self.id}:{self.session_key}"
