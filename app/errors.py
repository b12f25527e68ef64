"""What can go wrong, as one tree.

    SRSError
    ├── InvalidUpload          a file breaks the rules; carries every reason at once
    ├── InvalidParameters      settings or hyperparameters break their bounds; carries every reason at once
    └── Refused                a use case says no, in words for the person who asked (HTTP 400)
        ├── Forbidden          this person may not do this (403)
        ├── NotFound           there is no such thing (404)
        ├── Conflict           the state of the competition does not allow it (409)
        └── TooMany            a quota or a rate limit is used up (429)

`rejected` is the submitter's fault and is always one of these; every other exception is ours.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass


class SRSError(Exception):
    """The root of every error that the platform raises on purpose."""


@dataclass(frozen=True)
class Reason:
    """One broken rule of an upload: what, where, how often, and how to mend it."""

    rule: str
    """The rule that is broken, with its bounds, as a sentence."""
    where: str = ""
    """The first places that break it: file, line numbers, values."""
    fix: str = ""
    """What the submitter has to change."""
    count: int = 1
    """How many places break the rule."""

    def __str__(self) -> str:
        """The reason as one line of plain text."""
        return " ".join(part for part in (self.rule, f"Found: {self.where}." if self.where else "", self.fix) if part)

    def to_json(self) -> dict[str, str | int]:
        """The reason as it is stored in the database."""
        return asdict(self)


class InvalidUpload(SRSError):
    """An uploaded file breaks one or more rules."""

    def __init__(self, reasons: Iterable[Reason]) -> None:
        """Keep every reason, so that the submitter mends the file once."""
        self.reasons = tuple(reasons)
        super().__init__("\n".join(map(str, self.reasons)))


class InvalidParameters(SRSError):
    """Settings or hyperparameters break their bounds."""

    def __init__(self, problems: dict[str, str]) -> None:
        """Keep the problem of each named field."""
        self.problems = problems
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in problems.items()))


class Refused(SRSError):
    """A use case says no; the message is shown to the person who asked."""

    status = 400


class Forbidden(Refused):
    """This person may not do this."""

    status = 403


class NotFound(Refused):
    """There is no such thing."""

    status = 404


class Conflict(Refused):
    """The state of the competition does not allow it."""

    status = 409


class TooMany(Refused):
    """A quota or a rate limit is used up."""

    status = 429
