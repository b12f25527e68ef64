"""Where a game is played: what a child process must know to play it."""

from pathlib import Path
from typing import Any

from app.models import Asset, Round
from app.services import files


def place(row: Round, team: int, folder: Path) -> dict[str, Any]:
    """A round's game as seen from the seat of the team with this id; its data set is fetched into `folder`."""
    return {
        "track": row.track,
        "settings": row.track_settings,
        "round": row.seed,
        "team": team,
        "data": data(row.data, folder),
    }


def data(asset: Asset | None, folder: Path) -> dict[str, str] | None:
    """A data set for a child process, fetched into `folder`."""
    return {"kind": asset.kind, "path": str(files.store().fetch(asset.digest, folder))} if asset else None
