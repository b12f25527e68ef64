"""Where failures of ours are caught: noted, tried again, and after the last try told to whom it concerns."""

from collections.abc import Callable
from typing import TypeVar

from flask import current_app

from app.models import Status, Work
from app.services import work

Row = TypeVar("Row", bound=Work)


def attempt(
    table: type[Row],
    identity: int,
    evaluate: Callable[[Row, str], None],
    enqueue: Callable[[Row], None],
    note_failure: Callable[[int], None],
) -> bool:
    """Claim a row and evaluate it; False for one that is done, or alive in another worker, which is left alone."""
    claimed = work.claim(table, identity)
    if claimed is None:
        return False
    row, key = claimed
    try:
        evaluate(row, key)
    except Exception:
        current_app.logger.exception("%s %s failed", table.__name__, identity)
        status = work.fail(table, identity, key)
        if status is Status.QUEUED:
            enqueue(row)
        elif status is Status.FAILED:
            note_failure(identity)
    return True
