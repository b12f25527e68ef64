"""What answers about uploads have in common."""

from typing import Any

from flask_smorest.pagination import PaginationParameters

from app.api.auth import me
from app.errors import NotFound
from app.models import Upload, UploadKind
from app.services import rounds, teams, uploads

COLUMNS = (
    *("id", "kind", "status", "progress", "reasons", "round", "team", "filename", "size", "digest", "is_refunded"),
    *("created_at", "started_at", "finished_at", "chosen_at", "user", "tries", "log"),
)


def shown(upload: Upload) -> dict[str, Any]:
    """An upload as its schemas read it."""
    return {name: getattr(upload, name) for name in COLUMNS} | {
        "is_final": upload.status.final,
        "position": uploads.position(upload),
    }


def mine(kind: UploadKind, number: int | None, pages: PaginationParameters) -> list[Upload]:
    """One page of the uploads of one's team in a round, newest first; nothing for people without a team."""
    team = teams.of(me())
    row = rounds.by_number(number)
    found: list[Upload] = []
    total = 0
    if team is not None:
        found, total = uploads.everything(pages.page, pages.page_size, row, kind=kind, team=team)
    pages.item_count = total
    return found


def visible(identity: int, kind: UploadKind) -> Upload:
    """One's team's upload of a kind; admins see all of them."""
    upload = uploads.one(identity, me())
    if upload.kind is not kind:
        raise NotFound("There is no such upload.")
    return upload
