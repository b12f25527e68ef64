"""Runs of experiments in the lab."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Table
from app.models.work import Work

if TYPE_CHECKING:
    from app.models.user import User


class Job(Work, Table):
    """One run of an experiment, with its report; results live here and in storage, never only in the broker."""

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(32), unique=True)
    """Its opaque name in addresses."""
    owner_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    experiment: Mapped[str] = mapped_column(String(48), index=True)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    inputs: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    """Input name -> id of the asset."""
    request: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What a client sent, where an older interface has to be answered in its own words."""
    seed: Mapped[int] = mapped_column(BigInteger)
    is_heavy: Mapped[bool] = mapped_column(default=True)
    is_cancelled: Mapped[bool] = mapped_column(default=False)
    """Somebody asked for it to stop; the worker sees it at its next heartbeat."""
    is_deleted: Mapped[bool] = mapped_column(default=False)
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    report: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    arrays: Mapped[str] = mapped_column(String(64), default="")
    """Digest of the report's arrays."""

    files: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Further files of the report: name -> digest and size."""
    look: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """Figures of what can be seen while it runs."""

    owner: Mapped["User"] = relationship()
