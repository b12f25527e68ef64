"""Hands tasks to the broker, always after the commit that made their rows."""

from typing import Any

from flask import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.extensions import celery

CHECKS, EVALUATION, MAIL, QUICK, HEAVY = "checks", "evaluation", "mail", "quick", "heavy"


def enqueue(task: str, *arguments: Any, queue: str) -> None:
    """Send a task by name; when the broker is away the sweeper sends it later from the database."""
    try:
        # Nobody asks for results; without saying so the sender would wait for a dead broker's for 20 seconds.
        celery.send_task(task, arguments, queue=queue, ignore_result=True)
    except (OperationalError, RedisError, OSError) as error:
        current_app.logger.warning("The broker is away, %s%s waits for the sweeper: %s", task, arguments, error)
