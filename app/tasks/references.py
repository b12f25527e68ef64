"""Playing the house's adversaries."""

from app.extensions import celery
from app.models import ReferenceResult
from app.services import references
from app.tasks.base import attempt


@celery.task(name="references.play")
def play() -> None:
    """Let the cheapest adversary that waits answer its challenge."""
    while (result_id := references.next_in_line()) is not None:
        # Another worker may have been quicker; then the next one is taken.
        if attempt(ReferenceResult, result_id, references.evaluate, references.enqueue_one, references.note_failure):
            break
