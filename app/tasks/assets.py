"""Checking a file of the lab."""

from app.extensions import celery
from app.models import Asset
from app.services import assets
from app.tasks.base import attempt


@celery.task(name="assets.check")
def check(asset_id: int) -> None:
    """Check one uploaded file of the lab."""
    attempt(Asset, asset_id, assets.evaluate, assets.enqueue, assets.note_failure)
