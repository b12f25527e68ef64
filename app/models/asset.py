"""Files that people upload for the lab."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.work import Work

if TYPE_CHECKING:
    from app.models.user import User


class Asset(Work, Table):
    """One version of a person's model, data set or corpus; usable once it is accepted."""

    __table_args__ = (UniqueConstraint("owner_id", "kind", "name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(32), unique=True)
    """Its opaque name in addresses."""
    owner_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(120))
    version: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    size: Mapped[int]
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What the check found in it, for pages and forms."""
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    is_deleted: Mapped[bool] = mapped_column(default=False)

    owner: Mapped["User"] = relationship()
