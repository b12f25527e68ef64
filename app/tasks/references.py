"""Playing the house's adversaries."""

from app.extensions import celery
from app.models import ReferenceResult
from app.services import references
from app.tasks.base import attempt


@celery.task(name="references.play")
def play(result_id: int) -> None:
    """Let one adversary answer one challenge."""
    attempt(
        ReferenceResult, result_id, references.evaluate, lambda row: references.enqueue([row]), references.note_failure
    )
