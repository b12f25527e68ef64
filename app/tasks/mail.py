"""Sending mails."""

from app.extensions import celery
from app.services import mails


@celery.task(name="mail.deliver")
def deliver() -> int:
    """Send what is due in the outbox."""
    return mails.deliver()
