"""What the house's adversaries reach against a defence."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.work import Work

if TYPE_CHECKING:
    from app.models.defence import Defence


class ReferenceResult(Work, Table):
    """One adversary of the house against one defence."""

    __table_args__ = (UniqueConstraint("defence_id", "adversary"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    defence_id: Mapped[int] = mapped_column(ForeignKey("defence.id"), index=True)
    adversary: Mapped[str] = mapped_column(String(48))
    place: Mapped[int] = mapped_column(default=0)
    """Its place among the track's adversaries, the cheapest first."""
    leakage: Mapped[float | None]
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    figures: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    replicates: Mapped[bytes] = mapped_column(default=b"")
    """float32 bootstrap replicates of `leakage`."""
    seconds: Mapped[float | None]
    device: Mapped[str] = mapped_column(String(16), default="")

    defence: Mapped["Defence"] = relationship(back_populates="references")
