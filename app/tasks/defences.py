"""Checking a defence."""

from app.extensions import celery
from app.models import Upload
from app.services import defences, uploads
from app.tasks.base import attempt


@celery.task(name="defences.check")
def check(upload_id: int) -> None:
    """Check, measure and split one uploaded defence."""
    attempt(Upload, upload_id, defences.evaluate, uploads.enqueue, uploads.note_failure)
