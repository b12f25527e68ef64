"""Rounds of the competition."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, now

if TYPE_CHECKING:
    from app.models.asset import Asset
    from app.models.phase_change import PhaseChange


class Round(Table):
    """One round: a track with its settings, frozen when the round first opens."""

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    title: Mapped[str] = mapped_column(String(120))
    track: Mapped[str] = mapped_column(String(32))
    track_settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    rules: Mapped[dict[str, Any]] = mapped_column(JSON)
    seed: Mapped[int] = mapped_column(BigInteger)
    is_current: Mapped[bool] = mapped_column(default=False)
    opened_at: Mapped[datetime | None] = mapped_column(Moment)
    """When a phase first opened; settings do not change from then on."""
    matched_at: Mapped[datetime | None] = mapped_column(Moment)
    """When its matches were generated."""
    board_frozen_at: Mapped[datetime | None] = mapped_column(Moment)
    """Students see the leaderboard as it was at this moment."""
    reference_id: Mapped[int | None] = mapped_column(
        ForeignKey("defence.id", use_alter=True, name="fk_round_reference_id_defence")
    )
    """The undefended reference that utility is measured against."""
    data_id: Mapped[int | None] = mapped_column(ForeignKey("asset.id"))
    """The round's own data set; None: the one that comes with the track."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)

    data: Mapped["Asset | None"] = relationship()
    changes: Mapped[list["PhaseChange"]] = relationship(
        back_populates="round", order_by="(PhaseChange.at, PhaseChange.id)", cascade="all, delete-orphan"
    )
