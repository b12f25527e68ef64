"""Tokens with which programs act for a person."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, now

if TYPE_CHECKING:
    from app.models.user import User


class ApiToken(Table):
    """One token; the secret itself is shown once and never stored."""

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    prefix: Mapped[str] = mapped_column(String(12))
    """The beginning of the secret, by which its owner knows it again."""
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the secret, which has 256 random bits, so that no salt and no slow hash is needed."""
    scopes: Mapped[list[str]] = mapped_column(JSON)
    session_key: Mapped[str] = mapped_column(String(32))
    """The owner's at that time: whatever logs a person out everywhere also ends their tokens."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    expires_at: Mapped[datetime] = mapped_column(Moment)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    last_used_at: Mapped[datetime | None] = mapped_column(Moment)

    user: Mapped["User"] = relationship()
