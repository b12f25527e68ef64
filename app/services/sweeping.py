"""The sweeper: what the broker or a worker lost is queued again from the database."""

from collections.abc import Sequence
from typing import Any

from flask import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.extensions import celery, db
from app.models import Asset, Job, ReferenceResult, Upload
from app.services import assets, files, jobs, mails, queue, references, rounds, site, uploads, work


def sweep() -> dict[str, int]:
    """Announce phases, queue lost work again, give up what is hopeless, empty the outbox; how much of each."""
    rounds.announce()
    for identity in work.give_up(Upload):
        uploads.note_failure(identity)
    for table in (ReferenceResult, Asset, Job):
        work.give_up(table)
    checks_empty = _is_empty(queue.CHECKS)
    found_uploads = work.lost(Upload, checks_empty)
    found_assets = work.lost(Asset, checks_empty)
    found_references = work.lost(ReferenceResult, _is_empty(queue.EVALUATION))
    found_jobs = work.lost(Job, _is_empty(queue.QUICK) and _is_empty(queue.HEAVY))
    db.session.commit()
    for upload in found_uploads:
        uploads.enqueue(upload)
    for asset in found_assets:
        assets.enqueue(asset)
    references.enqueue(found_references)
    for job in found_jobs:
        jobs.enqueue(job)
    sent = mails.deliver()
    files.tidy()
    site.note_sweep()
    found: dict[str, Sequence[object]] = {
        "uploads": found_uploads,
        "references": found_references,
        "assets": found_assets,
        "jobs": found_jobs,
    }
    counts = {name: len(rows) for name, rows in found.items()}
    if any(counts.values()):
        current_app.logger.warning("The sweeper queued again what was lost: %s", counts)
    return {**counts, "mails": sent}


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
