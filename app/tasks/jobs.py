"""Working on jobs of the lab."""

from app.extensions import celery
from app.models import Job
from app.services import jobs
from app.tasks.base import attempt


@celery.task(name="jobs.work")
def work(is_heavy: bool) -> None:
    """Run the job whose turn it is."""
    while (job_id := jobs.next_in_fairness(is_heavy)) is not None:
        # Another worker may have been quicker; then the next one's turn has come.
        if attempt(Job, job_id, jobs.evaluate, jobs.enqueue, jobs.note_failure):
            break
