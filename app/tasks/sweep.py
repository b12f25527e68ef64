"""The periodic sweep."""

from app.extensions import celery
from app.services import sweeping


@celery.task(name="sweep")
def sweep() -> dict[str, int]:
    """Queue again what was lost, announce phases, send mails."""
    return sweeping.sweep()
