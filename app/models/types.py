"""Column types and the words for states that several tables share."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A moment: aware in Python, stored as naive UTC, which every database can order."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware to naive UTC; a naive moment is a mistake of ours."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Naive UTC to aware."""
        return value.replace(tzinfo=UTC) if value is not None else None


class Word(TypeDecorator[StrEnum]):
    """A `StrEnum` stored as its text."""

    impl = String
    cache_ok = True

    def __init__(self, words: type[StrEnum], length: int = 16) -> None:
        """A column for one of `words`."""
        super().__init__(length)
        self.words = words

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """The text; an unknown word is refused."""
        return None if value is None else self.words(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
        """The word."""
        return None if value is None else self.words(value)


class Status(StrEnum):
    """How far a piece of work is; `rejected` is the submitter's fault, `failed` is ours."""

    QUEUED = "queued"
    RUNNING = "running"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self not in {Status.QUEUED, Status.RUNNING}


class UploadKind(StrEnum):
    """What an uploaded file is."""

    DEFENCE = "defence"
    ATTACK = "attack"
    REFERENCE = "reference"


class MailStatus(StrEnum):
    """Where a mail is."""

    QUEUED = "queued"
    SENT = "sent"
    WRITTEN = "written"
    FAILED = "failed"
