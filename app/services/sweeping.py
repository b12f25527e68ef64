"""The sweeper: what the broker or a worker lost is queued again from the database."""

from typing import Any

from flask import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.extensions import celery, db
from app.models import ReferenceResult, Upload
from app.services import mails, queue, references, rounds, uploads, work


def sweep() -> dict[str, int]:
    """Announce phases that have opened, re-queue lost work and empty the outbox; how much of each."""
    rounds.announce()
    found_uploads = work.lost(Upload, _is_empty(queue.CHECKS))
    found_references = work.lost(ReferenceResult, _is_empty(queue.EVALUATION))
    db.session.commit()
    for upload in found_uploads:
        uploads.enqueue(upload)
    references.enqueue(found_references)
    sent = mails.deliver()
    counts = {"uploads": len(found_uploads), "references": len(found_references), "mails": sent}
    if found_uploads or found_references:
        current_app.logger.warning("The sweeper queued again what was lost: %s", counts)
    return counts


def _is_empty(name: str) -> bool:
    return depth(name) == 0


def depth(name: str) -> int | None:
    """How many messages wait in a queue of the broker; None when it does not answer."""
    try:
        with celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            channel: Any = connection.default_channel
            return int(channel.queue_declare(name, passive=True).message_count)
    except (OperationalError, RedisError, OSError):
        return None
    except celery.connection_for_read().channel_errors:
        # A queue that nobody has declared yet holds nothing.
        return 0
