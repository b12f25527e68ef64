"""Tasks: take an id, call a service. Nothing here queries or decides."""

from datetime import timedelta
from typing import Any

from celery import Task
from flask import Flask

from app.extensions import celery
from app.services.queue import CHECKS, EVALUATION, MAIL


def init_app(app: Flask) -> None:
    """Configure Celery, and run every task in the application's context."""

    class ContextTask(Task):
        """A task with the application's context around it."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Run in the context, which also ends the database session."""
            with app.app_context():
                return self.run(*args, **kwargs)

    celery.Task = ContextTask
    celery.conf.update(_settings(app.config))
    app.extensions["celery"] = celery
    from app.tasks import assets, attacks, defences, house, issues, jobs, mail, references, sweep  # noqa: F401 (They register themselves.)


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    longest = max(config["CHECK_SECONDS"], config["ADVERSARY_SECONDS"], config["JOB_SECONDS"]) + 120
    return {
        "broker_url": config["CELERY_BROKER_URL"],
        "result_backend": config["RESULT_BACKEND"],
        # Results live in the database; the broker only carries ids.
        "task_ignore_result": True,
        "task_default_queue": CHECKS,
        "task_routes": {"references.*": {"queue": EVALUATION}, "mail.*": {"queue": MAIL}},
        # A message is acknowledged when its work is done, so a killed worker's message comes back.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # The sandbox stops a child long before this; this stops a worker that hangs itself.
        "task_time_limit": longest,
        "worker_max_tasks_per_child": 200,
        # The broker must not hand out a message again while its worker is still at it.
        "broker_transport_options": {
            "visibility_timeout": longest + 600,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
        },
        # The web process answers at once when the broker is away; the sweeper sends later.
        "broker_connection_timeout": 2,
        "broker_connection_retry_on_startup": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2},
        "task_serializer": "json",
        "accept_content": ["json"],
        "beat_schedule": {
            "sweep": {
                "task": "sweep",
                "schedule": timedelta(seconds=config["SWEEP_SECONDS"]),
                "options": {"queue": MAIL, "expires": 60},
            }
        },
        "timezone": "UTC",
        "worker_hijack_root_logger": False,
    }
