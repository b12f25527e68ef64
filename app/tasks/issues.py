"""Making what a round issues to its teams."""

from app.extensions import celery
from app.services import issues, rounds


@celery.task(name="issues.prepare")
def prepare(round_id: int) -> None:
    """Make the files of every team of a round that has just opened."""
    issues.prepare(rounds.by_id(round_id))
