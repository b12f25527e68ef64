"""Scoring an attack."""

from app.extensions import celery
from app.models import Upload
from app.services import attacks, uploads
from app.tasks.base import attempt


@celery.task(name="attacks.score")
def score(upload_id: int) -> None:
    """Score one uploaded answer against all matches of its team."""
    attempt(Upload, upload_id, attacks.evaluate, uploads.enqueue, uploads.note_failure)
