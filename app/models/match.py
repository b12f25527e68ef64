"""Who attacks which defence."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.types import Moment, now

if TYPE_CHECKING:
    from app.models.attack import Attack
    from app.models.defence import Defence
    from app.models.team import Team


class Match(Table):
    """One team attacks one version of another team's defence."""

    __table_args__ = (UniqueConstraint("round_id", "attacker_id", "defender_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), index=True)
    attacker_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    defender_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    defence_id: Mapped[int] = mapped_column(ForeignKey("defence.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)

    attacker: Mapped["Team"] = relationship(foreign_keys=[attacker_id])
    defender: Mapped["Team"] = relationship(foreign_keys=[defender_id])
    defence: Mapped["Defence"] = relationship()
    attacks: Mapped[list["Attack"]] = relationship(back_populates="match", order_by="Attack.id.desc()")
