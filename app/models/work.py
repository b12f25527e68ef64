"""The columns of work that a worker does: its state, its tries and its heartbeat."""

from datetime import datetime

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.types import Moment, Status, Word, now


class Work:
    """Mixed into every table whose rows are evaluated by a worker."""

    status: Mapped[Status] = mapped_column(Word(Status), default=Status.QUEUED, index=True)
    tries: Mapped[int] = mapped_column(default=0)
    claim: Mapped[str] = mapped_column(default="")
    """Names the one try that may write the result; a new try takes it over."""
    progress: Mapped[float] = mapped_column(default=0.0)
    log: Mapped[str] = mapped_column(Text, default="")
    """What went wrong on our side, for admins."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=now, index=True)
    enqueued_at: Mapped[datetime] = mapped_column(Moment, default=now)
    """When the broker was last told of it."""
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    heartbeat_at: Mapped[datetime | None] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)
