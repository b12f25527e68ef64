"""Everything as CSV, for the teaching staff."""

import csv
import io
from collections.abc import Iterator

from app import models
from app.errors import NotFound
from app.extensions import Model, db

HIDDEN = {"password_hash", "session_key", "replicates", "claim", "secret", "public", "download"}
TABLES: dict[str, type[Model]] = {
    "users": models.User,
    "teams": models.Team,
    "memberships": models.Membership,
    "rounds": models.Round,
    "phases": models.PhaseChange,
    "uploads": models.Upload,
    "defences": models.Defence,
    "reference_results": models.ReferenceResult,
    "matches": models.Match,
    "attacks": models.Attack,
    "mails": models.Mail,
    "audit": models.AuditEntry,
}


def sizes() -> dict[str, int]:
    """The number of rows of every table."""
    count = db.func.count()
    return {name: db.session.scalar(db.select(count).select_from(model)) or 0 for name, model in TABLES.items()}


def table(name: str) -> Iterator[str]:
    """A table as CSV, line by line; passwords, session keys and secret halves are left out."""
    if name not in TABLES:
        raise NotFound("There is no such export.")
    columns = [column for column in TABLES[name].__table__.columns if column.name not in HIDDEN]
    yield _line([column.name for column in columns])
    query = db.select(*columns).order_by(columns[0]).execution_options(yield_per=1000)
    for row in db.session.execute(query):
        yield _line([_plain(value) for value in row])


def _plain(value: object) -> object:
    # A spreadsheet would run a text that begins like a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t"} else value


def _line(values: list[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue()
