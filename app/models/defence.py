"""Accepted defences."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, now

if TYPE_CHECKING:
    from app.models.reference_result import ReferenceResult
    from app.models.round import Round
    from app.models.team import Team
    from app.models.upload import Upload


class Defence(Table):
    """One accepted version of a team's defence, with its utility and its challenge."""

    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("upload.id"), unique=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), index=True)
    seed: Mapped[int] = mapped_column(BigInteger)
    utility: Mapped[float]
    classic: Mapped[float]
    """The utility on the classic scale of 0 to 10."""
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON)
    figures: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    public: Mapped[str] = mapped_column(String(64))
    """Digest of the public half of the challenge, as a bundle."""
    secret: Mapped[str] = mapped_column(String(64))
    """Digest of the secret half, which never leaves the server."""
    download: Mapped[str] = mapped_column(String(64))
    """Digest of the zip with the files that an opponent downloads."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=now, index=True)

    upload: Mapped["Upload"] = relationship()
    team: Mapped["Team"] = relationship()
    round: Mapped["Round"] = relationship(foreign_keys=[round_id])
    references: Mapped[list["ReferenceResult"]] = relationship(back_populates="defence", order_by="ReferenceResult.id")
